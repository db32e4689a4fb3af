/**
 * Where rows of unequal height lie, when most of them were never measured.
 *
 * A row has the height it was measured with, or an estimate. Positions are sums over all rows, made anew only after
 * something changed: for ten thousand rows that is far less than one frame.
 */

export class Heights {
  #estimate;
  #measured = new Map();
  #keys = [];
  #starts = new Float64Array(1);
  #stale = true;

  /** `estimate`: pixels of a row nobody has measured. */
  constructor(estimate) {
    this.#estimate = estimate;
  }

  /** The rows there are, in order, by their keys. What was measured stays known. */
  setKeys(keys) {
    this.#keys = keys;
    this.#stale = true;
  }

  /** Note the height of a row; whether it is another than before. */
  measure(key, height) {
    if (this.#measured.get(key) === height) return false;
    this.#measured.set(key, height);
    this.#stale = true;
    return true;
  }

  /** Forget what was measured: the width has changed. */
  forget() {
    this.#measured.clear();
    this.#stale = true;
  }

  get count() {
    return this.#keys.length;
  }

  get total() {
    return this.start(this.#keys.length);
  }

  /** Pixels above the row `index`; of the row after the last: of all. */
  start(index) {
    this.#sum();
    return this.#starts[index];
  }

  /** The row that the pixel `y` lies in; the first or last row for a pixel outside; -1 if there are none. */
  indexAt(y) {
    this.#sum();
    let low = 0;
    let high = this.#keys.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#starts[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return high < 0 ? -1 : low;
  }

  #sum() {
    if (!this.#stale) return;
    const count = this.#keys.length;
    if (this.#starts.length < count + 1) this.#starts = new Float64Array(2 * count + 1);
    let sum = 0;
    for (let index = 0; index < count; index += 1) {
      this.#starts[index] = sum;
      sum += this.#measured.get(this.#keys[index]) ?? this.#estimate;
    }
    this.#starts[count] = sum;
    this.#stale = false;
  }
}
