"""The client over TLS: the same bytes, and nobody else's certificate."""

import datetime
import ipaddress
import os
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hostile import Origin, answer, plan_body, planned

from runstone.client import origin
from runstone.client.connection import FileBody
from runstone.client.fetch import fetch
from runstone.client.http import Http, Retries
from runstone.errors import Unreachable
from runstone.testing.store_contract import read


def certificate(folder, host):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    context = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


def test_a_version_is_fetched_over_tls(tmp_path, trusted):
    content = os.urandom(9 << 20)

    def script(target, headers):
        if target.endswith("/plan"):
            return answer(200, plan_body(planned("f", content)))
        first, last = map(int, headers["range"].removeprefix("bytes=").split("-"))
        return answer(206, content[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(content)}")

    with Origin(script, trusted) as served:
        found = fetch("n/p/c", tmp_path / "out", url=served.url, cache=tmp_path / "cache", timeout=5.0)
        assert read(found.path) == {"f": content}
        assert len(served.requests) > 2


def test_a_file_is_sent_over_tls(tmp_path, trusted):
    (tmp_path / "file").write_bytes(os.urandom(5 << 20))
    with Origin(lambda *_: answer(204), trusted) as served, (tmp_path / "file").open("rb") as file:
        http = Http(origin.parse(served.url), timeout=5.0, retries=Retries(times=0))
        for offset in (0, 1000):
            http.give_back(http.exchange("PATCH", "/x", body=FileBody(file.fileno(), offset, 4 << 20)))
        http.close()
        whole = (tmp_path / "file").read_bytes()
        assert [body for _, _, body in served.requests] == [whole[: 4 << 20], whole[1000 : 1000 + (4 << 20)]]


@pytest.mark.parametrize("host", ["localhost", "elsewhere.example"])
def test_a_certificate_that_is_not_trusted_or_not_the_hosts(tmp_path, monkeypatch, host):
    context = certificate(tmp_path, host)
    if host != "localhost":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    with Origin(lambda *_: answer(200), context) as served:
        http = Http(origin.parse(served.url), "hf_secret", timeout=5.0, retries=Retries(times=0))
        with pytest.raises(Unreachable, match="certificate"):
            http.request("GET", "/")
        assert served.requests == []
        http.close()


def test_a_silent_server_is_given_up_over_tls(trusted):
    with Origin(lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", trusted) as served:
        http = Http(origin.parse(served.url), timeout=0.2, retries=Retries(times=0))
        with pytest.raises(Unreachable, match=r"nothing moved for 0\.2 s"):
            http.body_of(http.request("GET", "/"))
        http.close()
