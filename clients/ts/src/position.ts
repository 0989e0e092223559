/** Where a stream is: the id it goes on from, and which events it has had. Ids of one wallet count,
 * `<epoch>-<sequence>`; those of several are opaque and only compared. */
export class Position {
  constructor(public lastEventId: string | null) {}

  /** Move there; false if that was passed already, and the event came twice. */
  take(id: string): boolean {
    const last = this.lastEventId;
    this.lastEventId = id;
    if (last === null) return true;
    const before = ID.exec(last);
    const now = ID.exec(id);
    if (!before || !now) return id !== last;
    if (now[1] !== before[1] || Number(now[2]) > Number(before[2])) return true;
    this.lastEventId = last;
    return false;
  }

  /** What is held can't be continued. */
  forget(): void {
    this.lastEventId = null;
  }
}

const ID = /^([0-9]{1,20})-([0-9]{1,15})$/;
