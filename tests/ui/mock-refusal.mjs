// What every part of the mock refuses with.

/** An answer that is not a success. */
export class Refusal extends Error {
  constructor(status, code, detail, position) {
    super(detail);
    Object.assign(this, { status, code, position });
  }
}
