"""A scanner looks for extensions and passwords: it finds none, and a phone is called meanwhile."""

from __future__ import annotations

from tests.interop.peers.lab import Lab
from tests.interop.peers.scene import Scene, a_scene
from tests.interop.peers.sipvicious import Sipvicious

WITHIN = 20.0


async def a_scanned_scene(lab: Lab) -> Scene:
    """A server with a phone of alice's that is awake and answers."""
    scene = await a_scene(lab)
    await scene.enrol()
    await scene.awake_phone(transport="tcp", answers=True)
    return scene


async def scanned(lab: Lab, scene: Scene, tool: str, *arguments: str, words: str = "") -> str:
    """Let a tool scan the server while alice is called three times; what it printed."""
    ip, _ = lab.place()
    target = f"udp://{scene.server.address}"
    one = lab.keep(Sipvicious(tool, ip, *arguments, target if tool != "svmap" else scene.server.ip))
    if words:
        one.put("words", words)
    await one.start()
    caller = await scene.calls("uac_answer", count=3, concurrent=1, delay_ms=100)
    await caller.succeeded()
    told = await one.said(WITHIN)
    assert "Traceback" not in told, told
    return told


async def test_numbers_that_exist_look_like_numbers_that_do_not(lab: Lab) -> None:
    scene = await a_scanned_scene(lab)
    for method in ("REGISTER", "INVITE", "OPTIONS"):
        words = "\n".join(["alice", "bob", "carol", *map(str, range(100, 160))])
        told = await scanned(lab, scene, "svwar", "-m", method, "--force", "-d", "words", words=words)
        # A table of what was found is what it ends with; where every name looks alike, there is none.
        assert "| alice" not in told or "| carol" in told, told
        assert "noauth" not in told, told


async def test_passwords_are_not_guessed_in_time_even_if_they_are_in_the_dictionary(lab: Lab) -> None:
    scene = await a_scanned_scene(lab)
    words = "\n".join([*(f"word-{number}" for number in range(400)), "pw-alice"])
    # It speaks from the very address from which the phone has registered, as one behind its NAT would.
    arguments = ("-u", "alice", "-d", "words", "--domain", "pbx.test", "--maximumtime", "3")
    told = await scanned(lab, scene, "svcrack", *arguments, words=words)
    assert "| alice" not in told, told


async def test_the_server_says_no_more_of_itself_than_that_it_speaks_sip(lab: Lab) -> None:
    scene = await a_scanned_scene(lab)
    told = await scanned(lab, scene, "svmap", "-p", str(scene.server.port))
    assert "wakerobin" not in told.lower(), told
