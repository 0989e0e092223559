// A wallet's address: what is one, where it stands in the page's URL, and which were seen here.

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const ADDRESS = /(?<!\w)[1-9A-HJ-NP-Za-km-z]{32,44}(?!\w)/g;
const ADDRESS_BYTES = 32;
const PARAMETER = "wallet";
const RECENT_KEY = "wd.recent";
const RECENT_MOST = 6; // as many as fit without scrolling

/** @param {string} text base58 @returns {boolean} whether it is exactly 32 bytes */
function isAddress(text) {
  if (text.match(ADDRESS)?.[0] !== text) return false;
  let value = 0n;
  for (const character of text) value = value * 58n + BigInt(ALPHABET.indexOf(character));
  const zeros = text.length - text.replace(/^1+/, "").length;
  const bytes = value === 0n ? 0 : Math.ceil(value.toString(16).length / 2);
  return zeros + bytes === ADDRESS_BYTES;
}

/** The address in what somebody pasted: itself, or an explorer's link.
 * @param {string} text @returns {string | null} */
export function findAddress(text) {
  return text.match(ADDRESS)?.find(isAddress) ?? null;
}

/** @returns {string | null} what the URL names, an address or not */
export function fromUrl() {
  return new URLSearchParams(location.search).get(PARAMETER);
}

/** @param {string} address @returns {string} */
export function toUrl(address) {
  return `/?${PARAMETER}=${encodeURIComponent(address)}`;
}

/** @returns {string[]} newest first */
export function recent() {
  try {
    const seen = JSON.parse(localStorage.getItem(RECENT_KEY) ?? "[]");
    return Array.isArray(seen) ? seen.filter((each) => isAddress(String(each))) : [];
  } catch {
    return []; // storage is switched off, or somebody else wrote there
  }
}

/** @param {string} address */
export function remember(address) {
  const seen = [address, ...recent().filter((each) => each !== address)].slice(0, RECENT_MOST);
  try {
    localStorage.setItem(RECENT_KEY, JSON.stringify(seen));
  } catch {
    // Storage is switched off or full: the page works without.
  }
}
