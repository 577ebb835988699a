// For a screen on the wall (`?wall`): the totals and the panels in turn, large.

const TURN = 12_000; // ms for each

/** Show one part after the other, for ever. */
export function startWall() {
  const parts = [...document.querySelectorAll("#overview, .panel")];
  document.documentElement.classList.add("wall");
  let at = 0;
  const show = () => {
    parts.forEach((part, index) => part.classList.toggle("shown", index === at));
    at = (at + 1) % parts.length;
  };
  show();
  setInterval(show, TURN);
}
