// Public keys as people write them: npub (NIP-19) or hex.

const CHARSET = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l'
const GENERATOR = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

function checksum(values) {
  let sum = 1
  for (const value of values) {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    GENERATOR.forEach((part, bit) => {
      if ((top >>> bit) & 1) sum ^= part
    })
  }
  return sum
}

// The key as 64 hex digits, or null where the text is none.
export function publicKey(text) {
  const key = text.trim().toLowerCase()
  if (/^[0-9a-f]{64}$/.test(key)) return key
  if (!/^npub1[02-9ac-hj-np-z]{58}$/.test(key)) return null
  const words = [...key.slice(5)].map(letter => CHARSET.indexOf(letter))
  const codes = [...'npub'].map(letter => letter.charCodeAt(0))
  const prefix = [...codes.map(it => it >> 5), 0, ...codes.map(it => it & 31)]
  if (checksum([...prefix, ...words]) !== 1) return null
  const bits = words
    .slice(0, -6)
    .map(word => word.toString(2).padStart(5, '0'))
    .join('')
  const bytes = bits.slice(0, 256).match(/.{8}/g)
  return bytes.map(it => parseInt(it, 2).toString(16).padStart(2, '0')).join('')
}
