// Two comforts. Everything works without them.

// A "Show" button beside each password field.
(() => {
  const { show, hide } = document.currentScript.dataset;

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
      button.textContent = visible ? hide : show;
    };
    reveal(false);
    button.addEventListener("click", () => reveal(input.type === "password"));
    // Submitted as text, the password would be kept in the browser's form history.
    input.form.addEventListener("submit", () => reveal(false));

    input.spellcheck = false;
    input.autocapitalize = "off";
    input.parentElement.classList.add("has-reveal");
    input.after(button);
  }
})();

// How the mail is doing, without a reload: asks often at first, then ever more rarely.
(() => {
  const place = document.getElementById("mail-status");
  if (!place) return;

  const FIRST = 1000, LONGEST = 15000, MOST = 120; // milliseconds, milliseconds, questions
  let wait = FIRST, asked = 0;

  const step = () => place.querySelector("[data-step]").dataset.step;
  const isFinal = () => place.querySelector("[data-final]") !== null;

  const ask = async () => {
    const response = await fetch(place.dataset.url, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const html = await response.text();
    // Only what is new: a screen reader reads it aloud.
    if (html.trim() === place.innerHTML.trim()) return;
    const before = step();
    place.innerHTML = html;
    if (step() !== before) wait = FIRST;
    if (step() === "refused") document.getElementById("correct").open = true;
  };

  const loop = async () => {
    if (!document.hidden) {
      await ask().catch(() => {}); // offline: the next question may be answered
      asked += 1;
      wait = Math.min(wait * 1.25, LONGEST);
    }
    if (!isFinal() && asked < MOST) setTimeout(loop, wait);
  };
  if (!isFinal()) setTimeout(loop, wait);
})();
