"""Modules as one file: what is imported and exported stays the same."""

import json
import shutil
import subprocess

import pytest

from runstone.server import bundles

CASES = {
    "names, a default and another name": (
        {
            "main.js": 'import Thing from "./thing.js";\nimport { one, two as second } from "./numbers.js";\n'
            "export const found = [Thing(), one, second];\n",
            "thing.js": "export default function Thing() {\n  return 0;\n}\n",
            "numbers.js": "export const one = 1;\nconst two = 2;\nexport { two };\n",
        },
        [0, 1, 2],
    ),
    "what is passed on": (
        {
            "main.js": 'import { first, last } from "./all.js";\nexport const found = [first, last()];\n',
            "all.js": 'export { one as first } from "./numbers.js";\nexport { last } from "./functions.js";\n',
            "numbers.js": "export const one = 1;\n",
            "functions.js": "export async function later() {}\nexport function last() {\n  return 9;\n}\n",
        },
        [1, 9],
    ),
    "minified": (
        {
            "main.js": 'import { wide, tall } from "./small.js";\nexport const found = [wide, tall(2)];\n',
            "small.js": 'import{one as n}from"./numbers.js";import{one as m}from"./numbers.js";'
            'const d=n+m;export{one}from"./numbers.js";var t;function q(x){return x*d}t=5;'
            "export{t as wide,q as tall};\n//# sourceMappingURL=small.js.map",
            "numbers.js": "export const one = 1;\n",
        },
        [5, 4],
    ),
    "a default without a name": (
        {
            "main.js": 'import it from "./htm.js";\nexport const found = [it.call(3)];\n',
            "htm.js": "const t=new Map;export default function(){return this+t.size}",
        },
        [3],
    ),
    "text that looks like it": (
        {"main.js": "export const found = [`\nimport wandb\nexport KEY=1\n`];\n"},
        ["\nimport wandb\nexport KEY=1\n"],
    ),
}
START = """
const made = new Map(), defined = new Map();
globalThis.modules = {
  define: (name, make) => defined.set(name, make),
  need: name => { if (!made.has(name)) made.set(name, defined.get(name)()); return made.get(name); },
};
"""


def resolve(name: str, target: str) -> str:
    return target.removeprefix("./")


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("case", CASES)
def test_modules_together_do_what_they_do_alone(tmp_path, case):
    modules, expected = CASES[case]
    for name, source in modules.items():
        (tmp_path / name).write_text(source)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    alone = 'import { found } from "./main.js";\nconsole.log(JSON.stringify(found));'
    (tmp_path / "alone.mjs").write_text(alone)
    made = {
        name: bundles.module(name, source, resolve, lambda target: True) for name, source in modules.items()
    }
    together = START + bundles.bundle(made, made, "main.js")
    together += 'console.log(JSON.stringify(globalThis.modules.need("main.js").found));'
    (tmp_path / "together.mjs").write_text(together)
    for file in ("alone.mjs", "together.mjs"):
        answer = subprocess.run(["node", tmp_path / file], capture_output=True, text=True, check=True)
        assert json.loads(answer.stdout) == expected, file


def test_what_is_loaded_later_is_ours_or_stays_a_module():
    source = 'const a = import("./page.js");\nconst b = import("marked");\nconst at = new URL("x", import.meta.url);\n'
    made = bundles.module(
        "lib/one.js",
        source,
        lambda name, target: {"marked": "vendor/marked.js"}.get(target, "lib/page.js"),
        lambda target: not target.startswith("vendor/"),
    )
    assert '$.load("lib/page.js")' in made
    assert 'import($.at("vendor/marked.js"))' in made
    assert 'new URL("x", $.at("lib/one.js"))' in made
