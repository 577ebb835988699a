// Set the chosen colours before the first paint. This is a classic script because modules run later. localStorage may be blocked.
try {
  const theme = localStorage.getItem("analytics-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {}
