/** Something that the person before the page can put right: what was received, expected, to do. */
export class BundleError extends Error {
  override readonly name = "BundleError";
}
