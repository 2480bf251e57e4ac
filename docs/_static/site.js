// What the theme leaves out for people who read by keyboard or screen reader.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "Site navigation");
  document.querySelector(".toc-drawer")?.setAttribute("aria-label", "On this page");
  const scrolling = ".content pre, .table-wrapper";
  for (const block of document.querySelectorAll(scrolling)) {
    if (block.scrollWidth > block.clientWidth) block.tabIndex = 0; // so that arrow keys scroll it
  }
  for (const head of document.querySelectorAll("thead th")) {
    if (!head.textContent.trim()) head.replaceWith(document.createElement("td")); // an empty heading is none
  }
  for (const list of document.querySelectorAll("dt.sig > dl")) {
    const term = document.createElement("dt"); // the parameters of a signature are values without a term
    term.textContent = "parameters";
    term.className = "unseen";
    list.prepend(term);
  }
});
