/** Tabs as the ARIA practices describe them: arrow keys move between them. */

import { byId } from "./dom";

export function setUpTabs(list: HTMLElement): void {
  const tabs = [...list.querySelectorAll<HTMLElement>("[role=tab]")];
  tabs.forEach((tab) => tab.addEventListener("click", () => showTab(tab.id)));
  list.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (way === undefined) return;
    const shown = tabs.filter((tab) => !tab.hidden);
    const chosen = shown.findIndex((tab) => tab.ariaSelected === "true");
    const next = shown[(chosen + way + shown.length) % shown.length]!;
    showTab(next.id);
    next.focus();
  });
}

export function showTab(id: string): void {
  const chosen = byId(id, HTMLElement);
  for (const tab of chosen.parentElement!.querySelectorAll<HTMLElement>("[role=tab]")) {
    tab.ariaSelected = String(tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")!, HTMLElement).hidden = tab !== chosen;
  }
}
