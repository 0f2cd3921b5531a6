/** Finds an element of index.html; a missing one is a mistake in the page. */

type Kind<E extends Element> = new () => E;

export function find<E extends Element>(root: ParentNode, selector: string, kind: Kind<E>): E {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`index.html holds no ${kind.name} ${selector}`);
  return found;
}

export const byId = <E extends Element>(id: string, kind: Kind<E>) =>
  find(document, `#${id}`, kind);
