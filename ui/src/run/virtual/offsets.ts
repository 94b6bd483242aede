/** Where the rows of a list begin, of which only those in sight are in the document. */

export interface RowRange {
  first: number;
  /** After the last one. */
  end: number;
}

export class RowOffsets {
  private readonly heights = new Map<string, number>();
  private tops = new Float64Array(1);
  private keys: readonly string[] = [];

  constructor(private readonly estimate: number) {}

  get total(): number {
    return this.tops[this.keys.length] ?? 0;
  }

  topOf(index: number): number {
    return this.tops[Math.min(index, this.keys.length)] ?? 0;
  }

  heightOf(index: number): number {
    return this.topOf(index + 1) - this.topOf(index);
  }

  /** Lay out rows of these keys; known heights stay. */
  setKeys(keys: readonly string[]): void {
    this.keys = keys;
    this.layOut(0);
  }

  /** Set the height of a row that was measured. Returns by how much it changed. */
  setHeight(index: number, height: number): number {
    const key = this.keys[index];
    const change = height - this.heightOf(index);
    if (key === undefined || Math.abs(change) < 0.5) return 0;
    this.heights.set(key, height);
    this.layOut(index);
    return change;
  }

  /** The rows between two heights. */
  between(from: number, to: number): RowRange {
    const first = this.at(from);
    return { first, end: Math.min(this.keys.length, this.at(to) + 1) };
  }

  /** The row at a height. */
  private at(height: number): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.tops[middle + 1] as number) <= height) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private layOut(from: number): void {
    const count = this.keys.length;
    if (this.tops.length < count + 1) {
      const grown = new Float64Array(Math.ceil((count + 1) * 1.5));
      grown.set(this.tops);
      this.tops = grown;
    }
    for (let i = from; i < count; i++) {
      this.tops[i + 1] = (this.tops[i] as number) + (this.heights.get(this.keys[i] as string) ?? this.estimate);
    }
  }
}
