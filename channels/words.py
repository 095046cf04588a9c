"""Everything that we say to customers, in each language: one field for one thing said.

A language is complete or it does not exist: ``Words`` has no defaults, so a missing sentence stops the type
checker and the import. Braces are filled by ``str.format``; a test holds the languages against each other.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language. ``sms_`` texts are the short ones."""

    language: str
    # What is given.
    amount_off: str
    percent_off: str
    percent_off_up_to: str
    store_credit: str
    refund_request: str
    replacement: str
    free_item: str
    free_upgrade: str
    free_shipping: str
    points_one: str
    points_many: str
    # Until when, and where.
    until_end_of_day: str
    until_moment: str
    zone: str
    everywhere: str
    # The email.
    subject_voucher: str
    subject_apology: str
    greeting: str
    please_accept: str
    code_label: str
    show_voucher: str
    link_hint: str
    valid_label: str
    where_label: str
    terms_label: str
    like_cash: str
    like_cash_often: str
    uses_left_one: str
    uses_left_many: str
    why_this_message: str
    # The SMS.
    sms_sorry: str
    sms_sorry_short: str
    sms_until: str
    sms_code: str
    sms_amount_off: str
    sms_percent_off: str
    sms_percent_off_up_to: str
    sms_store_credit: str
    # The voucher page.
    page_title: str
    ready_to_use: str
    show_at_till: str
    qr_title: str
    spelled: str
    tell_us: str
    not_shown_title: str
    not_shown_why: str
    not_shown_next: str
    failed_title: str
    failed_next: str


EN = Words(
    language="en",
    amount_off="{amount} off",
    percent_off="{percent} off",
    percent_off_up_to="{percent} off, up to {amount}",
    store_credit="{amount} store credit",
    refund_request="{amount} refund",
    replacement="Replacement: {item}",
    free_item="Free: {item}",
    free_upgrade="Free upgrade: {item}",
    free_shipping="Free shipping",
    points_one="{points} point",
    points_many="{points} points",
    until_end_of_day="until the end of {date} ({zone})",
    until_moment="until {time} on {date} ({zone})",
    zone="{city} time",
    everywhere="At every {brand} location",
    subject_voucher="{brand}: our apology – {value}",
    subject_apology="{brand}: our apology",
    greeting="Dear {name},",
    please_accept="To put it right, please accept:",
    code_label="Your code",
    show_voucher="Show my voucher",
    link_hint="If the button does not work, open this address:",
    valid_label="Valid",
    where_label="Where to use it",
    terms_label="Terms",
    like_cash="It works once, for whoever shows it: keep it like cash.",
    like_cash_often="It works for whoever shows it: keep it like cash.",
    uses_left_one="To be used once more",
    uses_left_many="To be used {count} more times",
    why_this_message="You get this message because {brand} let you down and wants to put it right.",
    sms_sorry="{brand}: we are sorry.",
    sms_sorry_short="{brand}: sorry!",
    sms_until="until {date}",
    sms_code="Code {code}",
    sms_amount_off="{amount} off",
    sms_percent_off="{percent} off",
    sms_percent_off_up_to="{percent} off (max {amount})",
    sms_store_credit="{amount} credit",
    page_title="Your voucher from {brand}",
    ready_to_use="Ready to use",
    show_at_till="Show this at the till, on your screen or printed.",
    qr_title="QR code of your voucher. The code in letters and digits does the same.",
    spelled="The code, one character at a time: {code}",
    tell_us="Something is still wrong, or all is well? Tell us how it was.",
    not_shown_title="We cannot show a voucher here",
    not_shown_why=(
        "The link may be incomplete, or the voucher may have been used, replaced or withdrawn, or its time may be over."
    ),
    not_shown_next=(
        "Please check that you opened the whole link. If it is whole, contact the place that gave it to you: "
        "the staff can see what happened and will help you."
    ),
    failed_title="This did not work just now",
    failed_next=(
        "Please wait a minute and open the link again. Your voucher is safe: opening its page changes nothing."
    ),
)

ES = Words(
    language="es",
    amount_off="{amount} de descuento",
    percent_off="{percent} de descuento",
    percent_off_up_to="{percent} de descuento, hasta {amount}",
    store_credit="{amount} de crédito en tienda",
    refund_request="Reembolso de {amount}",
    replacement="Reposición: {item}",
    free_item="Gratis: {item}",
    free_upgrade="Mejora gratis: {item}",
    free_shipping="Envío gratis",
    points_one="{points} punto",
    points_many="{points} puntos",
    until_end_of_day="hasta el final del {date} ({zone})",
    until_moment="hasta las {time} del {date} ({zone})",
    zone="hora de {city}",
    everywhere="En todos los establecimientos de {brand}",
    subject_voucher="{brand}: nuestras disculpas – {value}",
    subject_apology="{brand}: nuestras disculpas",
    greeting="Hola, {name}:",
    please_accept="Para compensarle, acepte por favor:",
    code_label="Su código",
    show_voucher="Ver mi vale",
    link_hint="Si el botón no funciona, abra esta dirección:",
    valid_label="Válido",
    where_label="Dónde usarlo",
    terms_label="Condiciones",
    like_cash="Sirve una sola vez, a quien lo muestre: guárdelo como dinero en efectivo.",
    like_cash_often="Sirve a quien lo muestre: guárdelo como dinero en efectivo.",
    uses_left_one="Puede usarlo una vez más",
    uses_left_many="Puede usarlo {count} veces más",
    why_this_message="Recibe este mensaje porque {brand} le ha fallado y quiere compensarlo.",
    sms_sorry="{brand}: lo sentimos.",
    sms_sorry_short="{brand}: perdón.",
    sms_until="hasta {date}",
    sms_code="Código {code}",
    sms_amount_off="{amount} dto.",
    sms_percent_off="{percent} dto.",
    sms_percent_off_up_to="{percent} dto. (máx. {amount})",
    sms_store_credit="{amount} de crédito",
    page_title="Su vale de {brand}",
    ready_to_use="Listo para usar",
    show_at_till="Muéstrelo en la caja, en la pantalla o impreso.",
    qr_title="Código QR de su vale. El código de letras y cifras sirve igual.",
    spelled="El código, carácter por carácter: {code}",
    tell_us="¿Sigue habiendo un problema, o todo está bien? Cuéntenoslo.",
    not_shown_title="Aquí no podemos mostrar ningún vale",
    not_shown_why=(
        "Puede que el enlace esté incompleto, o que el vale se haya usado, sustituido o retirado, "
        "o que su plazo haya terminado."
    ),
    not_shown_next=(
        "Compruebe que ha abierto el enlace entero. Si está entero, hable con el lugar que se lo dio: "
        "el personal puede ver qué ha pasado y le ayudará."
    ),
    failed_title="Ahora mismo no ha funcionado",
    failed_next=("Espere un minuto y vuelva a abrir el enlace. Su vale está a salvo: abrir su página no cambia nada."),
)

LANGUAGES: dict[str, Words] = {words.language: words for words in (EN, ES)}


def words_for(locale: str | None) -> Words:
    """Return the words of a locale's language (``es-MX``: Spanish); English for one that we do not speak."""
    return LANGUAGES.get(language_of(locale), EN)


def language_of(locale: str | None) -> str:
    """Return the language part of a locale tag in lower case, ``es`` of ``es_MX``; empty if there is none."""
    return (locale or "").replace("_", "-").partition("-")[0].strip().lower()
