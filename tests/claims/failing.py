"""Claims whose verdict has to be refused."""


def check_holding(claim, data):
    """All checks hold; returns the verdict."""
    verdict = claim.judge(data)
    assert verdict.holds, [check for check in verdict.checks if not check.holds]
    return verdict


def failing(claim, data):
    """Statements of the checks that do not hold."""
    return [check.statement for check in claim.judge(data).checks if not check.holds]


def check_failing(claim, data, *beginnings):
    """Checks that begin so fail, at least one of each beginning, and no other; hence the verdict fails."""
    statements = failing(claim, data)
    assert {
        next((b for b in beginnings if s.startswith(b)), s) for s in statements
    } == set(beginnings), statements
    assert claim.judge(data).holds is False
