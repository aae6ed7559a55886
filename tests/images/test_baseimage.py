import pytest

from scripts.image.baseimage import choose_mirrors
from scripts.image.builders import ImagesError

DEBIAN = """\
bookworm main http://mirror.example/debian/
bookworm contrib http://mirror.example/debian/
bookworm-updates main http://mirror.example/debian/
bookworm-security main http://security.example/debian-security/
"""


def test_mirrors_are_those_of_apt_taken_to_the_images_release() -> None:
    assert choose_mirrors(DEBIAN) == {
        "trixie": "http://mirror.example/debian/",
        "trixie-updates": "http://mirror.example/debian/",
        "trixie-security": "http://security.example/debian-security/",
    }


def test_the_release_to_make_comes_first_so_that_it_can_be_bootstrapped() -> None:
    assert next(iter(choose_mirrors(DEBIAN))) == "trixie"


def test_other_peoples_repositories_are_passed_over() -> None:
    others = "stable main https://packages.example/vendor/\nnodistro main https://node.example/\n"

    assert choose_mirrors(others + DEBIAN) == choose_mirrors(DEBIAN)


def test_a_mirror_that_debootstrap_cannot_read_is_passed_over() -> None:
    media = "bookworm main cdrom://disc/\nbookworm-updates main mirror+file:/etc/mirrors\n"

    assert choose_mirrors(media + DEBIAN) == choose_mirrors(DEBIAN)


@pytest.mark.parametrize("targets", ["", "stable main https://packages.example/vendor/\n"], ids=["nothing", "no Debian"])
def test_a_machine_without_a_debian_mirror_is_told_what_to_do(targets: str) -> None:
    with pytest.raises(ImagesError, match="BASE_IMAGE"):
        choose_mirrors(targets)
