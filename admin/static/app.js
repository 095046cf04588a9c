// What the staff pages do beyond plain HTML. Each page works without this file; it only saves waiting.
"use strict";

/**
 * Put the regions of a freshly rendered page in the place of the old ones, and nothing else, so that typing goes on.
 * A region with a state is changed only when its state is another one.
 */
function swapLive(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
    const same = old.dataset.state === undefined ? next?.outerHTML === old.outerHTML : next?.dataset.state === old.dataset.state;
    if (next && !same) replaceKeepingInput(old, document.importNode(next, true));
  }
  for (const old of document.querySelectorAll("[data-say]")) {
    const text = fresh.querySelector("[data-say]")?.textContent;
    if (text && text !== old.textContent) old.textContent = text;
  }
  sayChosen();
  revealButtons();
}

/** What may be undone for some seconds says how many are left, and goes when they are over. */
function countDown() {
  const left = document.querySelector("[data-seconds]");
  if (!left) return;
  const until = Date.now() + Number(left.textContent) * 1000;
  const timer = setInterval(() => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    left.textContent = String(Math.max(seconds, 0));
    if (seconds > 0) return;
    clearInterval(timer);
    left.closest("form")?.remove();
  }, 250);
}

/** The apology names what is chosen. */
function sayChosen() {
  const chosen = document.querySelector("input[data-script]:checked");
  const words = document.querySelector("[data-words]");
  if (chosen && words && words.textContent !== chosen.dataset.script) words.textContent = chosen.dataset.script;
}

/** What was chosen or typed since the page was asked for stays, and the focus stays where it was. */
function replaceKeepingInput(old, next) {
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const inputs = [...old.querySelectorAll("input[id]")].map(({ id, checked, value }) => ({ id, checked, value }));
  old.replaceWith(next);
  for (const { id, checked, value } of inputs) {
    const input = document.getElementById(id);
    if (!input) continue;
    if (input.type === "radio" || input.type === "checkbox") { if (checked) input.checked = true; } else input.value = value;
  }
  if (focused) document.getElementById(focused)?.focus();
}

/** Say for each field whether it is wrong, by the words beside it. */
function markFields() {
  for (const input of document.querySelectorAll(".input[aria-describedby]")) {
    const words = document.getElementById(`${input.id}-error`);
    if (words) input.toggleAttribute("aria-invalid", false);
    if (words && !words.hidden && words.textContent.trim()) input.setAttribute("aria-invalid", "true");
  }
}

/** Buttons that only work with a script are hidden in the page's HTML. */
function revealButtons() {
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.onclick = () => window.print();
  }
}

/** Look up the customer as soon as an address is typed: earlier recoveries, offers and mistakes show at once. */
function lookUpWhileTyping(form) {
  let running = null;
  const look = async () => {
    if (running) running.abort();
    running = new AbortController();
    try {
      const answer = await fetch(form.dataset.lookup, { method: "POST", body: new URLSearchParams(new FormData(form)), signal: running.signal });
      if (answer.ok) { swapLive(await answer.text()); markFields(); }
    } catch (error) {
      if (error.name !== "AbortError") console.warn("The look-up did not work; sending checks it again.", error);
    }
  };
  form.addEventListener("change", (event) => {
    if (event.target.matches("[data-addresses] .input, [name=locale], [name=location]")) look();
    if (event.target.dataset.script) sayChosen();
  });
  for (const link of document.querySelectorAll("[data-severity]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      form.elements.severity.value = link.dataset.severity;
      for (const each of document.querySelectorAll("[data-severity]")) each.removeAttribute("aria-current");
      link.setAttribute("aria-current", "true");
      look();
    });
  }
}

/** A second tap does not send the form twice (the server would not give twice either). */
function sendOnce(form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.busy !== undefined) event.preventDefault();
    form.dataset.busy = "";
  });
  window.addEventListener("pageshow", () => delete form.dataset.busy);
}

/** What somebody has typed is not taken away from under their fingers, not even when they are signed out. */
function somethingTyped() {
  return [...document.querySelectorAll("main textarea, main input:not([type=hidden])")].some((each) => each.value !== each.defaultValue);
}

/** Ask for the page again until nothing on it moves any more: after 1 s, then slower, at most every 10 s. */
function poll(waitMs) {
  if (!document.querySelector("[data-poll]")) return;
  setTimeout(async () => {
    if (document.visibilityState === "visible") {
      try {
        // The header says that nobody asked: waiting alone keeps nobody signed in. What the page showed goes with it,
        // so that the answer can tell what is new since then.
        const seen = document.querySelector("[data-seen]")?.dataset.seen ?? "";
        const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Poll": "1", "X-Seen": seen } });
        if (answer.redirected) { if (!somethingTyped()) location.replace(answer.url); return; }
        if (answer.ok) swapLive(await answer.text());
      } catch (error) {
        console.warn("No news for now; asking again.", error);
      }
    }
    poll(Math.min(waitMs * 1.5, 10000));
  }, waitMs);
}

for (const form of document.querySelectorAll("form[data-lookup]")) lookUpWhileTyping(form);
for (const form of document.querySelectorAll("form[data-once]")) sendOnce(form);
document.querySelector("[data-focus]")?.focus();
revealButtons();
poll(1000);

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open], .nav-more[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll(".menu[open], .nav-more[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
});
countDown();
