"""The page's modules in Node.js, with its texts, and without a browser."""

import json
from typing import Any

from dev.paths import CHECKOUT
from tests.programs import run_json

STATIC = CHECKOUT / "static"

PRELUDE = """
import {readFileSync} from 'node:fs'
const texts = {}
const fill = (text, values = {}) =>
  text.replace(/\\{(\\w+)\\}/g, (_, name) => String(values[name]))
const find = (key, language) => texts[language]?.[key.replace('nostrclient.', '')]
globalThis.window = {
  i18n: {
    global: {
      locale: LANGUAGE,
      mergeLocaleMessage: (language, told) => (texts[language] = told.nostrclient),
      t: (key, values) => fill(find(key, window.i18n.global.locale) ?? key, values),
      te: (key, language) => find(key, language ?? LANGUAGE) !== undefined
    }
  }
}
for (const language of ['en', 'de']) {
  (0, eval)(readFileSync(`${STATIC}/i18n/${language}.js`, 'utf8'))
}
const load = name => import(`${STATIC}/js/${name}.js`)
const $t = window.i18n.global.t
const answer = await (async () => {
"""


def evaluate(script: str, language: str = "en", **values: Any) -> Any:
    """Run the body of an async JavaScript function and return its result.

    It finds `values` by their names, `load(name)` for a module and `texts` by language.
    """
    known = {"LANGUAGE": language, "STATIC": STATIC.as_posix(), **values}
    constants = "\n".join(
        f"const {name} = {json.dumps(value)}" for name, value in known.items()
    )
    ending = "\n})()\nprocess.stdout.write(JSON.stringify(answer ?? null))"
    program = constants + PRELUDE + script + ending
    return run_json("node", "--input-type=module", "--eval", program)
