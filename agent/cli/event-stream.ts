/** One message of a stream of server-sent events. */
export interface StreamMessage {
  readonly id: string | undefined;
  readonly data: string;
}

/** Most characters of one unfinished message. */
export const messageLimit = 1024 * 1024;

/** Cuts a stream of server-sent events (WHATWG HTML, "Server-sent events") into messages; comments are left out. */
export class EventStreamParser {
  #rest = '';
  #id: string | undefined;
  #data: string[] = [];
  #size = 0;

  /** The messages that `piece` completes. Throws a RangeError for a message that never ends. */
  push(piece: string): readonly StreamMessage[] {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    const messages = lines.flatMap((line) => this.#take(line.endsWith('\r') ? line.slice(0, -1) : line));
    if (this.#rest.length + this.#size > messageLimit) throw new RangeError(`it is longer than ${messageLimit}`);
    return messages;
  }

  #take(line: string): readonly StreamMessage[] {
    if (line === '') {
      const message = { id: this.#id, data: this.#data.join('\n') };
      const isEmpty = this.#data.length === 0;
      this.#id = undefined;
      this.#data = [];
      this.#size = 0;
      return isEmpty ? [] : [message];
    }
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (field === 'id') this.#id = value;
    if (field === 'data') {
      this.#data.push(value);
      this.#size += value.length;
    }
    return [];
  }
}
