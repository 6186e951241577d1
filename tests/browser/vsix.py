"""An extension, packed by hand: a .vsix is a zip with a manifest."""

from __future__ import annotations

import io
import json
import zipfile

TITLE = "Homewright Proof: Say Hello"
SAYS = "hello from the extension of the test"
ID = "homewright.proof"

_PACKAGE = {
    "name": "proof",
    "publisher": "homewright",
    "displayName": "Homewright Proof",
    "version": "1.0.0",
    "engines": {"vscode": "^1.80.0"},
    "main": "./main.js",
    "extensionKind": ["workspace"],
    "capabilities": {"untrustedWorkspaces": {"supported": True}},
    "contributes": {"commands": [{"command": "homewright.proof.hello", "title": TITLE}]},
}
_MAIN = f"""
const vscode = require("vscode");
exports.activate = (context) => context.subscriptions.push(
  vscode.commands.registerCommand("homewright.proof.hello", () => vscode.window.showInformationMessage("{SAYS}")));
"""
_MANIFEST = """<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    <Identity Language="en-US" Id="proof" Version="1.0.0" Publisher="homewright"/>
    <DisplayName>Homewright Proof</DisplayName>
    <Description>Says hello.</Description>
    <Properties><Property Id="Microsoft.VisualStudio.Code.Engine" Value="^1.80.0"/></Properties>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
  <Dependencies/>
  <Assets>
    <Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/>
  </Assets>
</PackageManifest>
"""
_TYPES = """<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
  <Default Extension=".json" ContentType="application/json"/>
  <Default Extension=".js" ContentType="application/javascript"/>
  <Default Extension=".vsixmanifest" ContentType="text/xml"/>
</Types>
"""


def packed() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("extension.vsixmanifest", _MANIFEST)
        archive.writestr("extension/package.json", json.dumps(_PACKAGE))
        archive.writestr("extension/main.js", _MAIN)
    return data.getvalue()
