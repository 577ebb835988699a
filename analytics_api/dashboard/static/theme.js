// A classic script before the stylesheet, so that the first paint has the chosen colours. The storage may be blocked.
try {
  const theme = localStorage.getItem("analytics-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {}
