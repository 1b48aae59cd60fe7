// Shows the boards that have all words of the search box. The words are kept in the address, after #.
"use strict";
const form = document.getElementById("search");
const words = document.getElementById("words");
const boards = [...document.querySelectorAll("#boards > li")];
const texts = boards.map((board) => board.textContent.toLowerCase());

function show() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  boards.forEach((board, place) => {
    board.hidden = !wanted.every((word) => texts[place].includes(word));
    shown += !board.hidden;
  });
  document.getElementById("count").textContent = `${shown} of ${boards.length} boards`;
  document.getElementById("none").hidden = shown > 0 || boards.length === 0;
}

function read() {
  try {
    words.value = decodeURIComponent(location.hash.slice(1));
  } catch {
    words.value = "";
  }
  show();
}

words.addEventListener("input", () => {
  history.replaceState(null, "", `#${encodeURIComponent(words.value)}`);
  show();
});
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", read);
form.hidden = false;
read();
