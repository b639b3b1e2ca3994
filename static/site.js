// Comforts. Everything works without them.

const words = document.currentScript.dataset;

// A "Show" button in each password field, and a word when Caps Lock is on.
for (const input of document.querySelectorAll('input[type="password"]')) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "reveal";
  button.id = `${input.id}_reveal`;

  // A screen reader says which password: "Show New password".
  const label = input.labels[0];
  if (label) {
    label.id ||= `${input.id}_label`;
    button.setAttribute("aria-labelledby", `${button.id} ${label.id}`);
  }

  const reveal = (visible) => {
    input.type = visible ? "text" : "password";
    button.textContent = visible ? words.hide : words.show;
  };
  reveal(false);
  button.addEventListener("click", () => reveal(input.type === "password"));
  // Submitted as text, the password would be kept in the browser's form history.
  input.form.addEventListener("submit", () => reveal(false));

  input.spellcheck = false;
  input.autocapitalize = "off";
  input.parentElement.classList.add("has-reveal");
  input.after(button);

  const caps = document.createElement("p");
  caps.className = "help";
  caps.setAttribute("role", "status");
  input.parentElement.after(caps);
  for (const type of ["keydown", "keyup", "blur"]) {
    input.addEventListener(type, (event) => {
      const on = event.getModifierState?.("CapsLock") && type !== "blur";
      caps.textContent = on ? words.caps : "";
    });
  }
}

// How strong a new password is: the library comes with the first look at the field.
for (const input of document.querySelectorAll("input[data-meter]")) {
  if (!words.meter) break;
  const meter = document.createElement("div"), said = document.createElement("p");
  meter.className = "meter";
  meter.hidden = true;
  for (let i = 0; i < 4; i += 1) meter.append(document.createElement("i"));
  said.className = "help kept";
  said.setAttribute("role", "status");
  input.parentElement.after(meter, said);

  const load = async () => {
    const common = fetch(words.common).then((response) => response.text());
    await new Promise((done, failed) => {
      const script = Object.assign(document.createElement("script"), { src: words.meter });
      script.onload = done;
      script.onerror = failed;
      document.head.append(script);
    });
    return new zxcvbnts.core.ZxcvbnFactory({ dictionary: { common: (await common).split("\n") } });
  };
  let library;
  const rate = async () => {
    library ||= load();
    const judge = await library.catch(() => null);
    if (!judge) return;
    meter.hidden = !input.value;
    const own = [...input.form.elements].filter((e) => e !== input && e.value && e.type !== "hidden");
    const { score } = judge.check(input.value.slice(0, 100), own.map((e) => e.value));
    meter.dataset.score = score;
    [...meter.children].forEach((bar, i) => bar.classList.toggle("on", i < Math.max(1, score)));
    said.textContent = input.value && words.strengths.split("|")[score];
  };
  input.addEventListener("focus", () => { library ||= load(); }, { once: true });
  input.addEventListener("input", rate);
}

// Whether an ID is free, while one types.
for (const input of document.querySelectorAll("input[data-check]")) {
  const said = document.createElement("p");
  said.className = "help kept";
  said.setAttribute("role", "status");
  input.parentElement.after(said);
  let timer;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    said.textContent = "";
    if (input.value.trim().length < 3) return;
    timer = setTimeout(async () => {
      const asked = input.value;
      const response = await fetch(`${input.dataset.check}?user_id=${encodeURIComponent(asked)}`)
        .catch(() => null);
      if (!response?.ok || asked !== input.value) return; // it is said when the form is sent
      const { free, says } = await response.json();
      said.className = `help kept ${free ? "good" : "bad"}`;
      said.textContent = says;
    }, 400);
  });
}

// What was typed, but no password, stays when the language is switched.
(() => {
  const fields = () => [...document.querySelectorAll("main form [name]")].filter(
    (field) => !["hidden", "password", "submit"].includes(field.type) && !("meter" in field.dataset),
  );
  const key = `typed ${location.pathname}`;
  document.querySelector(".languages form")?.addEventListener("submit", () => {
    const typed = fields().map((field) => [field.name, field.type === "checkbox" ? field.checked : field.value]);
    sessionStorage.setItem(key, JSON.stringify(typed));
  });
  const kept = Object.fromEntries(JSON.parse(sessionStorage.getItem(key) ?? "[]"));
  sessionStorage.removeItem(key);
  for (const field of fields()) {
    if (!(field.name in kept)) continue;
    if (field.type === "checkbox") field.checked = kept[field.name];
    else field.value = kept[field.name];
  }
})();

// A form is sent once: its button is busy until the next page is there.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  event.submitter?.setAttribute("aria-busy", "true");
});
// Back again, by the browser's own button.
addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
  for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
});

// How the mail is doing, without a reload: asks often at first, then ever more rarely.
(() => {
  const place = document.getElementById("mail-status");
  if (!place?.dataset.url) return;

  const FIRST = 1000, LONGEST = 15000, MOST = 120; // milliseconds, milliseconds, questions
  const site = document.title.slice(document.title.lastIndexOf("·"));
  const news = document.getElementById("mail-news");
  let wait = FIRST, asked = 0, timer;

  const state = (within = place) => within.querySelector("[data-step]");
  const isFinal = () => "final" in state().dataset;
  const typed = () => [...place.querySelectorAll("input")].some((i) => i.value !== i.defaultValue);

  const show = (fresh) => {
    const was = state().dataset.step, had = place.contains(document.activeElement);
    const open = place.querySelector("details")?.open;
    // What somebody is typing stays; the state above it changes.
    if (typed()) state().replaceWith(state(fresh));
    else place.replaceChildren(...fresh.childNodes);
    const help = place.querySelector("details");
    if (help && open) help.open = true;
    if (had && !place.contains(document.activeElement)) place.querySelector("h1").focus();
    document.title = `${state().dataset.title} ${site}`;
    news.textContent = state().innerText;
    if (state().dataset.step !== was) wait = FIRST;
    count();
  };

  // 0:42, and at its end the question whether it has left.
  const count = () => {
    clearInterval(timer);
    const clock = place.querySelector("[data-seconds]");
    if (!clock) return;
    const end = Date.now() + clock.dataset.seconds * 1000;
    const tick = () => {
      const left = Math.max(0, Math.round((end - Date.now()) / 1000));
      clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (!left) wait = FIRST;
    };
    clock.hidden = false;
    tick();
    timer = setInterval(tick, 1000);
  };

  const ask = async () => {
    const response = await fetch(place.dataset.url, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").body;
    if (state(fresh).dataset.version !== state().dataset.version) show(fresh);
  };

  const loop = async () => {
    if (!document.hidden) {
      await ask().catch(() => {}); // offline: the next question may be answered
      asked += 1;
      wait = Math.min(wait * 1.25, LONGEST);
    }
    if (!isFinal() && asked < MOST) setTimeout(loop, wait);
  };
  // Back from the mailbox in another tab: it may have been confirmed there.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !isFinal()) ask().catch(() => {});
  });
  count();
  if (!isFinal()) setTimeout(loop, wait);
})();
