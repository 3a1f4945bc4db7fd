"""What a verdict refuses."""


def failing(claim, data):
    """Statements of the checks that do not hold."""
    return [check.statement for check in claim.judge(data).checks if not check.holds]


def check_failing(claim, data, *beginnings):
    """Checks that begin so fail, at least one of each beginning, and no other; hence the verdict fails."""
    statements = failing(claim, data)
    assert {next((b for b in beginnings if s.startswith(b)), s) for s in statements} == set(beginnings), statements
    assert claim.judge(data).holds is False
