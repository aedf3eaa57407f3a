// Certificates that the browser keeps for this origin, by name. Their private keys cannot be read, by nobody.

const DAY = 24 * 3600 * 1000;

const result = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** The one of this name, made where there is none that lasts. `undefined` where the browser keeps nothing. */
export async function kept(name) {
  try {
    const opening = indexedDB.open("crosspeer-identities", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("identities");
    const database = await result(opening);
    try {
      const store = (mode) => database.transaction("identities", mode).objectStore("identities");
      const lasting = async (store) => {
        const found = await result(store.get(name));
        return found?.expires > Date.now() + DAY ? found : undefined;
      };
      const found = await lasting(store("readonly"));
      if (found) return found;
      const made = await RTCPeerConnection.generateCertificate({ name: "ECDSA", namedCurve: "P-256", expires: 365 * DAY });
      // Another page may have been quicker.
      const writing = store("readwrite");
      const other = await lasting(writing);
      if (!other) await result(writing.put(made, name));
      return other ?? made;
    } finally {
      database.close();
    }
  } catch {
    return undefined;
  }
}
