"""What a look at a page finds wrong: what sticks out, texts too pale to read, and controls that a screen reader cannot name."""

# Contrasts as WCAG 2.1 defines them (AA): 4.5, or 3 for large letters. A canvas turns any notation of a colour into numbers.
FAULTS = """
() => {
  const painter = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const paint = (colours) => {
    painter.clearRect(0, 0, 1, 1);
    for (const colour of colours) { painter.fillStyle = colour; painter.fillRect(0, 0, 1, 1); }
    return [...painter.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colours) => {
    const linear = paint(colours).map((c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (element) => {
    const behind = [];
    for (let up = element; up; up = up.parentElement) behind.unshift(getComputedStyle(up).backgroundColor);
    const below = light(['white', ...behind]), text = light(['white', ...behind, getComputedStyle(element).color]);
    return (Math.max(below, text) + 0.05) / (Math.min(below, text) + 0.05);
  };
  const named = (control) => [
    control.getAttribute('aria-label'), control.title, control.innerText, control.placeholder,
    ...[...(control.labels || [])].map((label) => label.innerText),
    ...[...control.querySelectorAll('img')].map((image) => image.alt),
  ].some((name) => name && name.trim());
  const shown = [...document.body.querySelectorAll('*')].filter((element) =>
    element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && element.getClientRects().length);
  const faults = document.documentElement.scrollWidth > innerWidth ? ['the page can be moved sideways'] : [];
  for (const element of shown) {
    const place = element.getBoundingClientRect(), what = element.tagName + ' ' + element.outerHTML.slice(0, 120);
    const texts = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim());
    const style = getComputedStyle(element), size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    if (texts.length && place.width > 1) {
      if (place.left < -1 || place.right > innerWidth + 1) faults.push('sticks out: ' + what);
      const found = contrast(element);
      if (found < (isLarge ? 3 : 4.5)) faults.push(`contrast ${found.toFixed(2)}: ` + what);
    }
    const isControl = element.matches('button, a[href], input, select, textarea, [role=button], [role=img]');
    const isRead = !element.closest('[aria-hidden=true]');
    if (isRead && isControl && !named(element)) faults.push('no name: ' + what);
    if (isRead && element.matches('img:not([alt])')) faults.push('no text: ' + what);
  }
  return faults;
}
"""


def faults_of(page) -> list[str]:
    """One line for each fault of what stands on a page of Playwright's now."""
    return page.evaluate(FAULTS)
