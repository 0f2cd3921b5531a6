/** An error that the visitor can fix: what was received, what was expected, what to do. */
export class BundleError extends Error {
  override readonly name = "BundleError";
}
