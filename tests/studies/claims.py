"""What a verdict refuses."""


def failing(study, data):
    """Statements of the claims that do not hold."""
    return [claim.statement for claim in study.claims(data) if not claim.holds]


def check_failing(study, data, *beginnings):
    """The claims that begin so fail, one of each beginning at least, and no other; hence the verdict fails."""
    found = failing(study, data)
    assert {next((b for b in beginnings if f.startswith(b)), f) for f in found} == set(beginnings), found
    assert study.judge(data).holds is False
