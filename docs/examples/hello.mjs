import { PeerManager } from "crosspeer";

export async function hello(relay) {
  const alice = await PeerManager.join(relay);
  const bob = await PeerManager.join(relay);

  await alice.send(bob.uuid, "hello");
  const { from, data } = await bob.recv();
  console.log(from === alice.uuid, data);

  await Promise.all([alice.close(), bob.close()]);
}
