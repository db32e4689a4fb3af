// What every storage of the SDK has to do, checked in Node for memory and in a browser for IndexedDB.

const SESSION = { url: "ws://x/ws", user: "alice", terminal: "web" };

function message(seq, conversation, more = {}) {
  const from = more.from ?? conversation.slice(5);
  return {
    kind: "message", seq, id: `${seq}`.padStart(16, "0"), from, to: "user/alice", conversation, timeMs: seq, type: "text/plain",
    text: `text ${seq}`, data: null, own: false, device: null, n: null, key: null, notice: false, ...more,
  };
}

function record(key, order, more = {}) {
  return {
    key, order, to: "user/bob", type: "text/plain", text: key, data: null, timeMs: 1, n: null, state: "waiting",
    seq: null, id: null, storedMs: null, reason: 0, reasonText: "", ...more,
  };
}

const seqs = (items) => items.map(({ seq }) => seq);

export const conformance = {
  async "a new store is empty"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    assert.deepEqual(await store.load(), { meta: {}, outbox: [] });
    assert.deepEqual([await store.read({ limit: 5 }), await store.conversations()], [[], []]);
    await store.destroy();
  },

  async "what is set is there when it is opened again, and what is removed is not"(assert, storageOf) {
    const storage = storageOf();
    const store = await storage.open(SESSION);
    await store.commit({ meta: { n: 3, token: "t", device: "d", gone: 1, origin: { by: "x" } } });
    await store.commit({ meta: { gone: undefined }, outboxPut: [record("b", 2), record("a", 1, { data: new Uint8Array([1, 2]), text: null }), record("c", 3)] });
    await store.commit({ outboxPut: [record("b", 2, { n: 7 })], outboxRemove: ["c"] });
    await store.close();
    const again = await storage.open(SESSION);
    const { meta, outbox } = await again.load();
    assert.deepEqual(meta, { n: 3, token: "t", device: "d", origin: { by: "x" } });
    assert.deepEqual(outbox.map(({ key, n }) => [key, n]), [["a", null], ["b", 7]]);
    assert.deepEqual([...outbox[0].data], [1, 2]);
    assert.deepEqual(await storage.remembered(), [{ ...SESSION, device: "d" }]);
    await again.commit({ meta: { token: undefined } });
    assert.deepEqual(await storage.remembered(), []);
    await again.destroy();
    const fresh = await storage.open(SESSION);
    assert.deepEqual(await fresh.load(), { meta: {}, outbox: [] });
    await fresh.destroy();
  },

  async "sessions do not see each other"(assert, storageOf) {
    const storage = storageOf();
    const one = await storage.open(SESSION);
    const other = await storage.open({ ...SESSION, terminal: "phone" });
    await one.commit({ meta: { n: 1 }, items: [message(1, "user/bob")] });
    assert.deepEqual([(await other.load()).meta, await other.read({ limit: 5 })], [{}, []]);
    await one.destroy();
    await other.destroy();
  },

  async "pages go both ways, of everything and of a conversation"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    await store.commit({ items: [1, 2, 3, 4, 5, 6, 7].map((seq) => message(seq, seq % 2 ? "user/bob" : "group/club")) });
    const cases = [
      [{ limit: 3 }, [5, 6, 7]], [{ before: 5, limit: 2 }, [3, 4]], [{ after: 2, limit: 3 }, [3, 4, 5]], [{ after: 0, limit: 99 }, [1, 2, 3, 4, 5, 6, 7]],
      [{ after: 7, limit: 3 }, []], [{ before: 1, limit: 3 }, []],
      [{ conversation: "user/bob", limit: 2 }, [5, 7]], [{ conversation: "user/bob", before: 5, limit: 9 }, [1, 3]],
      [{ conversation: "group/club", after: 2, limit: 1 }, [4]], [{ conversation: "user/nobody", limit: 3 }, []],
    ];
    for (const [options, expected] of cases) assert.deepEqual(seqs(await store.read(options)), expected, JSON.stringify(options));
    assert.deepEqual((await store.conversations()).map(({ address, last }) => [address, last.seq]), [["user/bob", 7], ["group/club", 6]]);
    await store.destroy();
  },

  async "gaps stand among the messages, in every conversation"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    const gap = { kind: "gap", seq: 2, last: 5, reason: "age" };
    await store.commit({ items: [message(1, "user/bob"), gap, message(6, "user/bob"), message(7, "user/carol")] });
    const cases = [
      [{ after: 0, limit: 9 }, [1, 2, 6, 7]], [{ after: 1, limit: 1 }, [2, 6]], [{ after: 3, limit: 9 }, [2, 6, 7]], [{ after: 5, limit: 9 }, [6, 7]],
      [{ limit: 2 }, [6, 7]], [{ limit: 3 }, [1, 2, 6, 7]], [{ before: 6, limit: 5 }, [1, 2]],
      [{ conversation: "user/bob", limit: 9 }, [1, 2, 6]], [{ conversation: "user/carol", limit: 1 }, [7]],
    ];
    for (const [options, expected] of cases) assert.deepEqual(seqs(await store.read(options)), expected, JSON.stringify(options));
    await store.destroy();
  },

  async "erasing blanks one user's messages of one conversation, below a number, and keeps the numbers"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    const own = message(3, "user/bob", { from: "alice", own: true, kind: "own", device: "d", n: 1 });
    await store.commit({ items: [message(1, "user/bob"), message(2, "group/club", { from: "bob" }), own, message(4, "user/bob"), message(5, "user/bob")] });
    await store.commit({ erase: [{ user: "bob", conversation: "user/bob", before: 5 }] });
    const all = await store.read({ limit: 9 });
    assert.deepEqual(all.map(({ seq, kind, text, from }) => [seq, kind, text, from]), [
      [1, "erased", null, ""], [2, "message", "text 2", "bob"], [3, "own", "text 3", "alice"], [4, "erased", null, ""], [5, "message", "text 5", "bob"],
    ]);
    assert.deepEqual(seqs(await store.read({ conversation: "user/bob", limit: 9 })), [3, 5]);
    await store.commit({ erase: [{ user: "bob", conversation: "user/bob", before: 6 }] });
    assert.deepEqual((await store.conversations()).map(({ address, last }) => [address, last.seq]), [["user/bob", 3], ["group/club", 2]]);
    await store.commit({ erase: [{ user: "bob", conversation: "group/club", before: 6 }] });
    assert.deepEqual((await store.conversations()).map(({ address }) => address), ["user/bob"]);
    await store.destroy();
  },

  async "one commit clears, then puts, then erases, then trims"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    await store.commit({ items: [message(1, "user/old"), { kind: "gap", seq: 2, last: 3, reason: "age" }], meta: { position: 3 } });
    await store.commit({
      clear: true, items: [1, 2, 3, 4].map((seq) => message(seq, "user/bob")), erase: [{ user: "bob", conversation: "user/bob", before: 4 }],
      trimBelow: 2, meta: { position: 4 },
    });
    assert.deepEqual((await store.read({ limit: 9 })).map(({ seq, kind }) => [seq, kind]), [[2, "erased"], [3, "erased"], [4, "message"]]);
    assert.deepEqual((await store.conversations()).map(({ address, last }) => [address, last.seq]), [["user/bob", 4]]);
    await store.destroy();
  },

  async "trimming takes what lies below, and gaps that lie there whole"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    const gaps = [{ kind: "gap", seq: 2, last: 3, reason: "age" }, { kind: "gap", seq: 5, last: 9, reason: "count" }];
    await store.commit({ items: [message(1, "user/bob"), gaps[0], message(4, "user/bob"), gaps[1], message(10, "user/bob")] });
    await store.commit({ trimBelow: 7 });
    assert.deepEqual(seqs(await store.read({ limit: 9 })), [5, 10]);
    await store.commit({ trimBelow: 10 });
    assert.deepEqual(seqs(await store.read({ limit: 9 })), [10]);
    assert.equal((await store.conversations())[0].last.seq, 10);
    await store.destroy();
  },

  async "an item with the number of another replaces it"(assert, storageOf) {
    const store = await storageOf().open(SESSION);
    await store.commit({ items: [message(1, "user/bob"), message(2, "user/bob")] });
    await store.commit({ items: [message(1, "user/bob", { text: "again" })] });
    assert.deepEqual((await store.read({ limit: 9 })).map(({ text }) => text), ["again", "text 2"]);
    assert.equal((await store.conversations())[0].last.seq, 2);
    await store.destroy();
  },
};
