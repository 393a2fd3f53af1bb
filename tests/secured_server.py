"""A real Elasticsearch with TLS, users and API keys."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from elastic_server import VERSION, ElasticServer, find_java

PASSWORD = "a long password"
"""Of every user: ``admin`` may do everything, ``reader`` may only read what begins with ``images``."""

_PLUGIN = Path(__file__).parent / "analysis_plugin"
_COMPONENTS = {
    "org.elasticsearch.plugin.analysis.TokenFilterFactory": {
        "pattern_capture": "test.Passing$PatternCapture",
        "unique": "test.Passing$Unique",
    },
    "org.elasticsearch.plugin.analysis.TokenizerFactory": {"uax_url_email": "test.Passing$UrlEmail"},
}
_ROLES = """
reading:
  indices:
    - names: ["images*"]
      privileges: ["read", "view_index_metadata"]
"""


class SecuredServer(ElasticServer):
    """One node behind TLS.  ``authority`` is the certificate of the authority that signed its own."""

    def __init__(self) -> None:
        super().__init__(
            {
                "xpack.security.enabled": "true",
                "xpack.security.autoconfiguration.enabled": "false",
                "xpack.security.http.ssl.enabled": "true",
                "xpack.security.http.ssl.key": "node.key",
                "xpack.security.http.ssl.certificate": "node.pem",
            }
        )
        self.url = f"https://127.0.0.1:{self.port}"
        self.authority = self.config / "authority.pem"
        make_certificates(self.config)
        (self.config / "roles.yml").write_text(_ROLES)
        for user, role in (("admin", "superuser"), ("reader", "reading")):
            self._make_user(user, role)
        _install_plugin(self.home)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the authority's certificate, as openssl prints it."""
        printed = _openssl("x509", "-in", self.authority, "-noout", "-fingerprint", "-sha256")
        return printed.strip().partition("=")[2]

    def api_key(self, privileges: list[str], *, names: str = "images*", expires: str | None = None) -> str:
        """Make an API key with these privileges on these indices, and none on the cluster; return it encoded."""
        indices = [{"names": [names], "privileges": privileges}]
        body: dict[str, Any] = {"name": "key", "role_descriptors": {"own": {"cluster": [], "indices": indices}}}
        answer = self.ask("POST", "/_security/api_key", body | ({"expiration": expires} if expires else {}), seconds=60)
        return str(answer["encoded"])

    def _opener(self) -> urllib.request.OpenerDirector:
        trusting = ssl.create_default_context(cafile=self.authority)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusting))
        login = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
        opener.addheaders = [("Authorization", f"Basic {login}")]
        return opener

    def _make_user(self, name: str, role: str) -> None:
        subprocess.run(
            [str(self.home / "bin" / "elasticsearch-users"), "useradd", name, "-p", PASSWORD, "-r", role],
            env={"PATH": os.environ["PATH"], "ES_JAVA_HOME": str(find_java()), "CLI_JAVA_OPTS": "-Xmx128m"},
            check=True,
            capture_output=True,
        )


def make_certificates(folder: Path) -> None:
    """Make an authority, and a certificate of this machine's loopback address that it signed."""
    new = ("req", "-newkey", "rsa:2048", "-nodes", "-subj")
    _openssl(
        *new, "/CN=Test authority", "-x509", "-days", "2", "-keyout", folder / "authority.key",
        "-out", folder / "authority.pem", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    _openssl(*new, "/CN=node", "-keyout", folder / "node.key", "-out", folder / "node.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    _openssl(
        "x509", "-req", "-in", folder / "node.csr", "-CA", folder / "authority.pem", "-CAkey", folder / "authority.key",
        "-CAcreateserial", "-days", "2", "-extfile", folder / "names", "-out", folder / "node.pem",
    )  # fmt: skip
    chain = (folder / "node.pem").read_text() + (folder / "authority.pem").read_text()
    (folder / "node.pem").write_text(chain)


def _openssl(*words: str | Path) -> str:
    return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, text=True).stdout


def _install_plugin(home: Path) -> None:
    """Add what API keys need and the server of the tests lacks: three parts of text analysis, as stand-ins."""
    plugin, classes = home / "plugins" / "passing", home / "classes"
    plugin.mkdir()
    compiler = [str(find_java() / "bin" / "javac"), "--release", "21", "-cp", f"{home / 'lib'}/*", "-d", str(classes)]
    subprocess.run([*compiler, str(_PLUGIN / "Passing.java")], check=True, capture_output=True)
    with zipfile.ZipFile(plugin / "passing.jar", "w") as jar:
        for path in classes.rglob("*.class"):
            jar.write(path, path.relative_to(classes))
    (plugin / "named_components.json").write_text(json.dumps(_COMPONENTS))
    described = {
        "name": "passing", "description": "stand-ins", "version": "1", "elasticsearch.version": VERSION,
        "java.version": "21",
    }  # fmt: skip
    text = "".join(f"{key}={value}\n" for key, value in described.items())
    (plugin / "stable-plugin-descriptor.properties").write_text(text)
