/** Arithmetic over logged keys: `val - train`, `` log10(`train/loss`) ``, `100 * acc`. Read into a tree and computed; never run as code. */

/** @typedef {(values: (name: string) => number) => number} Compute */

const FUNCTIONS = /** @type {Record<string, (...values: number[]) => number>} */ ({
  log: Math.log, log2: Math.log2, log10: Math.log10, exp: Math.exp, sqrt: Math.sqrt, abs: Math.abs, min: Math.min, max: Math.max, pow: Math.pow,
});
const TOKEN = /\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|`([^`]+)`|([A-Za-z_][\w.]*)|([-+*/^(),]))/y;
const DEEPEST = 50;

/**
 * The keys that an expression names and a function that computes it; throws an Error that says where it does not parse.
 * @param {string} text
 * @returns {{ keys: string[], compute: Compute }}
 */
export function parse(text) {
  const tokens = read(text);
  const keys = new Set(/** @type {string[]} */ ([]));
  let at = 0;
  let depth = 0;

  /** @returns {any} */
  const peek = () => tokens[at];
  /** @param {string} sign */
  const take = sign => (peek()?.sign === sign ? (at++, true) : false);

  /** @returns {Compute} */
  function sum() {
    let left = product();
    for (;;) {
      const before = left;
      if (take("+")) { const right = product(); left = values => before(values) + right(values); }
      else if (take("-")) { const right = product(); left = values => before(values) - right(values); }
      else return left;
    }
  }
  /** @returns {Compute} */
  function product() {
    let left = power();
    for (;;) {
      const before = left;
      if (take("*")) { const right = power(); left = values => before(values) * right(values); }
      else if (take("/")) { const right = power(); left = values => before(values) / right(values); }
      else return left;
    }
  }
  /** @returns {Compute} */
  function power() {
    if (++depth > DEEPEST) throw new Error("the expression is nested too deeply");
    if (take("-")) { const value = power(); depth--; return values => -value(values); }
    const base = single();
    if (!take("^")) { depth--; return base; }
    const exponent = power();
    depth--;
    return values => base(values) ** exponent(values);
  }
  /** @returns {Compute} */
  function single() {
    const token = peek();
    if (!token) throw new Error("the expression ends where a value is expected");
    at++;
    if (token.number !== undefined) return () => token.number;
    if (token.sign === "(") {
      const inner = sum();
      if (!take(")")) throw new Error("a closing bracket is missing");
      return inner;
    }
    if (token.name === undefined) throw new Error(`expected a value, found ${token.sign}`);
    if (!token.quoted && peek()?.sign === "(") return called(token.name);
    keys.add(token.name);
    return values => values(token.name);
  }
  /** @param {string} name @returns {Compute} */
  function called(name) {
    const act = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : null;
    if (!act) throw new Error(`there is no function ${name}; there are ${Object.keys(FUNCTIONS).join(", ")}`);
    at++;
    const given = [sum()];
    while (take(",")) given.push(sum());
    if (!take(")")) throw new Error("a closing bracket is missing");
    return values => act(...given.map(each => each(values)));
  }

  const compute = sum();
  if (at < tokens.length) throw new Error("write keys with odd characters in backticks, and an operator between values");
  return { keys: [...keys], compute };
}

/** @param {string} text */
function read(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const from = TOKEN.lastIndex;
    const token = TOKEN.exec(text);
    if (!token) throw new Error(`column ${from + 1} is not understood`);
    const [, number, quoted, name, sign] = token;
    found.push(number !== undefined ? { number: Number(number) } : sign ? { sign } : { name: quoted ?? name, quoted: quoted !== undefined });
  }
  return found;
}
