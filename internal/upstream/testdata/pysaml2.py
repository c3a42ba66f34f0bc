"""An identity provider of pysaml2's and xmlsec1's: it reads messages of ours and answers.

Each line of standard input is JSON: what to do, and with what. Each has a line of JSON for
an answer. The folder that is its argument has key.pem, cert.pem and sp.xml, our metadata.
"""

import functools
import json
import sys

import saml2.entity
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.sigver import verify_redirect_signature

folder, at = sys.argv[1], "https://pysaml2.example.net"
strong = {
    "sign_alg": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "digest_alg": "http://www.w3.org/2001/04/xmlenc#sha256",
}

# It would encrypt with triple DES, which is not taken any more.
saml2.entity.pre_encryption_part = functools.partial(
    saml2.entity.pre_encryption_part, msg_enc="http://www.w3.org/2001/04/xmlenc#aes256-cbc"
)


def config(enveloped, known):
    both = [BINDING_HTTP_REDIRECT, BINDING_HTTP_POST]
    settings = {
        "entityid": at + "/metadata",
        "key_file": folder + "/key.pem",
        "cert_file": folder + "/cert.pem",
        "xmlsec_binary": "/usr/bin/xmlsec1",
        "service": {
            "idp": {
                "endpoints": {
                    "single_sign_on_service": [(at + "/sso", b) for b in both],
                    "single_logout_service": [(at + "/slo", b) for b in both],
                },
                "want_authn_requests_signed": enveloped,
                "name_id_format": [NAMEID_FORMAT_PERSISTENT],
                "policy": {"default": {"name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"}},
            }
        },
    }
    if known:
        settings["metadata"] = {"local": [folder + "/sp.xml"]}
    return IdPConfig().load(settings)


def read(idp, asked, parse):
    """Reads a message and verifies its signature, as its binding has it."""
    if not asked["signature"]:
        return parse(asked["message"], BINDING_HTTP_POST)
    request = parse(asked["message"], BINDING_HTTP_REDIRECT)
    signed = {"SAMLRequest": asked["message"], "RelayState": asked["state"], "SigAlg": asked["algorithm"], "Signature": asked["signature"]}
    certs = idp.metadata.certs(request.message.issuer.text, "spsso", "signing")
    if not any(verify_redirect_signature(signed, idp.sec.sec_backend, c[1] if isinstance(c, tuple) else c) for c in certs):
        raise ValueError("the signature of the query is not good")
    return request


def answer(idp, asked):
    request = read(idp, asked, idp.parse_authn_request)
    to = idp.response_args(request.message)
    response = idp.create_authn_response(
        identity={"givenName": ["Alice"], "sn": ["Example"], "mail": ["alice@example.com"], "eduPersonAffiliation": ["staff", "member"]},
        userid="alice",
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text="7f3c-alice", name_qualifier=at + "/metadata"),
        authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"},
        in_response_to=to["in_response_to"],
        destination=to["destination"],
        sp_entity_id=to["sp_entity_id"],
        sign_response=asked["sign_response"],
        sign_assertion=asked["sign_assertion"],
        encrypt_assertion=asked["encrypt"],
        encrypted_advice_attributes=False,
        **strong,
    )
    return {"response": str(response), "force": request.message.force_authn, "acs": to["destination"]}


def end(idp, asked):
    request = read(idp, asked, idp.parse_logout_request)
    response = idp.create_logout_response(request.message, [BINDING_HTTP_REDIRECT], sign=False)
    http = idp.apply_binding(BINDING_HTTP_REDIRECT, str(response), asked["back"], asked["state"], response=True, sign=True, sigalg=strong["sign_alg"])
    return {"location": dict(http["headers"])["Location"], "name": request.message.name_id.text}


for line in sys.stdin:
    asked = json.loads(line)
    if asked["do"] == "metadata":
        answered = {"metadata": str(entity_descriptor(config(True, False)))}
    else:
        idp = Server(config=config(not asked["signature"], True))
        encrypt = idp.sec.crypto.encrypt_assertion
        idp.sec.crypto.encrypt_assertion = lambda what, key, template, _, path: encrypt(what, key, template, "aes-256", path)
        answered = {"answer": answer, "end": end}[asked["do"]](idp, asked)
    print(json.dumps(answered), flush=True)
