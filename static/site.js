// Adds a "Show" button to each password field. Everything works without it.
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
