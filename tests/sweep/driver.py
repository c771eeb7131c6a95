"""What the tests of sweeps share: a pool that trains in this process."""

from contextlib import nullcontext


class HerePool:
    """Calls a function for each run, in this process, until it is stopped."""

    elsewhere = False
    room = 1

    def __init__(self, train):
        self.train, self.started = train, []

    def open(self, runs):
        return nullcontext()

    def takes(self, run):
        return True

    def start(self, run):
        self.train(run)
        self.started.append(run)

    def ended(self):
        return self.started

    def stop(self):
        raise AssertionError("nobody stopped it")


class LatePool(HerePool):
    """Trains all that was started at the next look, as processes that take long to begin."""

    room = 100

    def __init__(self, train):
        super().__init__(train)
        self.begun = []

    def start(self, run):
        self.started.append(run)
        self.begun.append(run)

    def ended(self):
        begun, self.begun = self.begun, []
        for run in begun:
            self.train(run)
        return begun
