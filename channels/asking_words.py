"""What we say where customers are asked how it was: the message that asks, and the page that takes the answer.

As ``words``: a language is complete or it does not exist, and a test holds the languages against each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from channels.words import language_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingWords:
    """One language. ``sms_`` texts are the short ones; those of a scale are (question, worst, best)."""

    language: str
    # The message.
    subject: str
    intro: str
    tap: str
    why_this_message: str
    sms: str
    sms_lean: str
    # The scales.
    again: Mapping[str, tuple[str, str, str]]
    first: Mapping[str, tuple[str, str, str]]
    # The page.
    title: str
    title_again: str
    about_label: str
    choices_label: str
    comment_label: str
    comment_hint: str
    name_label: str
    contact_label: str
    contact_hint: str
    consent_label: str
    send: str
    chosen_hint: str
    change_hint: str
    puzzle_label: str
    puzzle_hint: str
    trap_label: str
    qr_title: str
    # What went wrong with the page.
    mistakes_title: str
    score_missing: str
    too_long: str
    contact_wrong: str
    consent_missing: str
    puzzle_wrong: str
    page_lost: str
    numbers: tuple[str, ...]
    # Afterwards.
    thanks_title: str
    thanks_body: str
    thanks_change: str
    closed_title: str
    closed_body: str
    busy_title: str
    busy_body: str
    gone_title: str
    gone_body: str
    over_title: str
    over_body: str
    failed_title: str
    failed_body: str


_SCORE_EN = ("Not at all", "Completely")
EN = AskingWords(
    language="en",
    subject="{brand}: did we put it right?",
    intro="You told us about this: {about}. We have worked on it, and we would like to know how it turned out for you.",
    tap="Tap a number. It opens a page on which you can add a word and send it.",
    why_this_message="You get this message once, because {brand} let you down and wants to know if that was put right.",
    sms="{brand}: did we put it right? Reply {low}-{high} ({high} = best) or tap {url}",
    sms_lean="{brand}: reply {low}-{high} ({high} = best) or {url}",
    again={
        "stars_5": ("How well did we put it right?", *_SCORE_EN),
        "csat": ("How well did we put it right?", *_SCORE_EN),
        "percent": ("How well did we put it right?", *_SCORE_EN),
        "nps": ("After this, would you recommend us?", "Never", "Certainly"),
        "ces_7": ("How easy was it to get this put right?", "Very hard", "Very easy"),
    },
    first={
        "stars_5": ("What would you give us?", "Very bad", "Very good"),
        "csat": ("How content are you?", "Not at all", "Very"),
        "percent": ("How content are you?", "Not at all", "Very"),
        "nps": ("Would you recommend us?", "Never", "Certainly"),
        "ces_7": ("How easy did we make it for you?", "Very hard", "Very easy"),
    },
    title="How was it?",
    title_again="Did we put it right?",
    about_label="About",
    choices_label="What was it about? You may choose several.",
    comment_label="What happened? (if you like)",
    comment_hint="Please write no card numbers and no passwords.",
    name_label="Your name (if you like)",
    contact_label="Email or phone, if we may get back to you",
    contact_hint="We use it for this matter only.",
    consent_label="You may get back to me about this, and ask me later how it turned out.",
    send="Send",
    chosen_hint="You chose {score}. Nothing is sent until you press “Send”.",
    change_hint="You answered {score} before. What you send now takes its place.",
    puzzle_label="One question, so that we know a person is writing: how much is {left} plus {right}?",
    puzzle_hint="Type the number in figures.",
    trap_label="Leave this field empty",
    qr_title="QR code of the form on which you can say how it was.",
    mistakes_title="This is not sent yet",
    score_missing="Please choose a number.",
    too_long="That is longer than we can take. Please use at most {most} characters.",
    contact_wrong="This is no email address or phone number that we can reach. Correct it, or leave it empty.",
    consent_missing="Please tick this if we may get back to you, or leave your address empty.",
    puzzle_wrong="That is not the right number. Please try this one.",
    page_lost="This page was open for too long, or was not whole. It is now: please look at it and send it again.",
    numbers=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    thanks_title="Thank you",
    thanks_body="It has arrived, and a person can read it now.",
    thanks_change="Something to correct? Open the same link again within 24 hours and send it anew.",
    closed_title="This question is closed",
    closed_body="Your answer has arrived, or the time for it is over. If something is still wrong, please contact us.",
    busy_title="Too many messages at once",
    busy_body="Many forms come from your network just now. Please wait a minute and press “Send” again.",
    gone_title="There is no form here",
    gone_body="The link may be incomplete, or the form is no longer used. The staff will be glad to hear you.",
    over_title="That is too much at once",
    over_body="Nothing was sent. Please go back and write less.",
    failed_title="This did not work just now",
    failed_body="Please wait a minute and try again. What was sent twice counts once.",
)

_SCORE_ES = ("En absoluto", "Del todo")
ES = AskingWords(
    language="es",
    subject="{brand}: ¿lo hemos arreglado?",
    intro="Nos contó esto: {about}. Lo hemos atendido y nos gustaría saber cómo ha quedado para usted.",
    tap="Toque un número. Se abre una página en la que puede añadir unas palabras y enviarlo.",
    why_this_message="Recibe este mensaje una sola vez, porque {brand} le falló y quiere saber si lo ha arreglado.",
    sms="{brand}: ¿lo hemos arreglado? Responda {low}-{high} ({high} = mejor) o toque {url}",
    sms_lean="{brand}: responda {low}-{high} ({high} = mejor) o {url}",
    again={
        "stars_5": ("¿En qué medida lo hemos arreglado?", *_SCORE_ES),
        "csat": ("¿En qué medida lo hemos arreglado?", *_SCORE_ES),
        "percent": ("¿En qué medida lo hemos arreglado?", *_SCORE_ES),
        "nps": ("Después de esto, ¿nos recomendaría?", "Nunca", "Seguro que sí"),
        "ces_7": ("¿Le ha resultado fácil que lo arregláramos?", "Muy difícil", "Muy fácil"),
    },
    first={
        "stars_5": ("¿Qué nota nos pone?", "Muy mal", "Muy bien"),
        "csat": ("¿Está satisfecho?", "Nada", "Mucho"),
        "percent": ("¿Está satisfecho?", "Nada", "Mucho"),
        "nps": ("¿Nos recomendaría?", "Nunca", "Seguro que sí"),
        "ces_7": ("¿Se lo hemos puesto fácil?", "Muy difícil", "Muy fácil"),
    },
    title="¿Qué tal ha ido?",
    title_again="¿Lo hemos arreglado?",
    about_label="Motivo",
    choices_label="¿De qué se trata? Puede elegir varias cosas.",
    comment_label="¿Qué ha pasado? (si quiere)",
    comment_hint="No escriba números de tarjeta ni contraseñas, por favor.",
    name_label="Su nombre (si quiere)",
    contact_label="Correo o teléfono, si podemos responderle",
    contact_hint="Solo lo usamos para este asunto.",
    consent_label="Pueden responderme y preguntarme más adelante cómo ha quedado.",
    send="Enviar",
    chosen_hint="Ha elegido {score}. No se envía nada hasta que pulse «Enviar».",
    change_hint="Antes respondió {score}. Lo que envíe ahora lo sustituye.",
    puzzle_label="Una pregunta, para saber que escribe una persona: ¿cuánto es {left} más {right}?",
    puzzle_hint="Escriba el número en cifras.",
    trap_label="Deje este campo vacío",
    qr_title="Código QR del formulario en el que puede decirnos qué tal ha ido.",
    mistakes_title="Todavía no se ha enviado",
    score_missing="Elija un número, por favor.",
    too_long="Es más largo de lo que admitimos. Use como mucho {most} caracteres.",
    contact_wrong="No es un correo ni un teléfono al que podamos escribir. Corríjalo o déjelo vacío.",
    consent_missing="Marque esta casilla si podemos responderle, o deje vacía su dirección.",
    puzzle_wrong="Ese no es el número. Pruebe con este, por favor.",
    page_lost="La página llevaba mucho tiempo abierta o no estaba completa. Revísela y envíela de nuevo, por favor.",
    numbers=("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    thanks_title="Gracias",
    thanks_body="Ha llegado, y una persona ya puede leerlo.",
    thanks_change="¿Quiere corregir algo? Abra el mismo enlace en las próximas 24 horas y envíelo de nuevo.",
    closed_title="Esta pregunta está cerrada",
    closed_body="Su respuesta ha llegado, o el plazo ha terminado. Si algo sigue mal, díganoslo, por favor.",
    busy_title="Demasiados mensajes a la vez",
    busy_body="Ahora mismo llegan muchos formularios desde su red. Espere un minuto y pulse «Enviar» otra vez.",
    gone_title="Aquí no hay ningún formulario",
    gone_body="Puede que el enlace esté incompleto o que ya no se use. El personal le atenderá con gusto.",
    over_title="Es demasiado de una vez",
    over_body="No se ha enviado nada. Vuelva atrás y escriba menos, por favor.",
    failed_title="Ahora mismo no ha funcionado",
    failed_body="Espere un minuto e inténtelo de nuevo. Lo que se envía dos veces cuenta una.",
)

LANGUAGES: dict[str, AskingWords] = {words.language: words for words in (EN, ES)}


def asking_words(locale: str | None) -> AskingWords:
    """Return the words of a locale's language; English for one that we do not speak."""
    return LANGUAGES.get(language_of(locale), EN)
