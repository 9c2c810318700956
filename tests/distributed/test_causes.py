"""Of a failure that has crossed Ray, one line is left: its cause. No Ray is started."""

import errno

import pytest
from ray.exceptions import ActorDiedError, RayTaskError, UserCodeException
from ray.train import WorkerGroupError

from ue_ray.distributed.causes import causes
from ue_ray.errors import RunError, UserError

pytestmark = pytest.mark.ray  # not started, but imported

DATA_TASK = """\x1b[36mray::MapWorker(MapBatches(_Protector)).submit()\x1b[39m (pid=676, ip=192.0.2.2)
{frames}{raised}

The above exception was the direct cause of the following exception:

\x1b[36mray::MapWorker(MapBatches(_Protector)).submit()\x1b[39m (pid=676, ip=192.0.2.2)
ray.exceptions.UserCodeException: UDF failed to process a data block.
To change retry attempts, configure `ray.data.DataContext.get_current()`."""
TASK = "\x1b[36mray::_survey()\x1b[39m (pid=1, ip=192.0.2.2)\n{frames}{raised}"
FRAMES = '  File "/a/b.py", line 7, in protect\n    raise OSError("Colon: here")\n'


def data_task(raised: str, frames: str = "") -> Exception:
    """As Ray Data raises it: the cause is gone, its text is not."""
    text = DATA_TASK.format(raised=raised, frames=frames)
    return RayTaskError("submit", text, UserCodeException("UDF failed")).as_instanceof_cause()


def task(cause: Exception, raised: str) -> Exception:
    return RayTaskError("f", TASK.format(raised=raised, frames=FRAMES), cause).as_instanceof_cause()


def said_of(error: Exception, kind: type[Exception] = RunError) -> str:
    with pytest.raises(kind) as caught, causes("bucket/out"):
        raise error
    assert type(caught.value) is kind
    return str(caught.value)


FULL = "OSError: [Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"


@pytest.mark.parametrize("frames", ["", FRAMES])
def test_a_full_device_is_named(frames):
    """It was "RayTaskError(UserCodeException): To change retry attempts, configure ..."."""
    assert said_of(data_task(FULL, frames)) == "no space left on device: bucket/out"
    assert said_of(task(OSError(errno.ENOSPC, "x"), FULL)) == "no space left on device: bucket/out"
    assert said_of(OSError(errno.ENOSPC, "No space left on device")) == "no space left on device: bucket/out"
    error = OSError(errno.ENOSPC, "No space left on device", "/data/manifest.json")
    assert said_of(error) == "no space left on device: /data/manifest.json"
    assert said_of(WorkerGroupError("a snippet", {1: error})) == "no space left on device: /data/manifest.json"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("ValueError: the sum is -1", "ValueError: the sum is -1"),
        ("torch.OutOfMemoryError: CUDA out of memory.\nTried to allocate", "OutOfMemoryError: CUDA out of memory."),
        ("somebody.Odd: a class of any name", "Odd: a class of any name"),
        ("PermissionError: [Errno 13] Permission denied: '/a'", "PermissionError: Permission denied: '/a'"),
        ("ue_ray.protection.shard.BudgetBroken: 3.png: changed by 9/255", "3.png: changed by 9/255"),
        ("ue_ray.errors.RunError: shard 3 took its worker with it", "shard 3 took its worker with it"),
    ],
)
def test_whatever_its_class(raised, said):
    assert said_of(data_task(raised, FRAMES)) == said
    assert said_of(task(ValueError("x"), raised)) == said


def test_a_mistake_stays_a_mistake():
    raised = "ue_ray.errors.UserError: photos: holds no samples"
    assert said_of(data_task(raised), UserError) == "photos: holds no samples"
    assert said_of(task(UserError("photos: holds no samples"), raised), UserError) == "photos: holds no samples"
    assert said_of(WorkerGroupError("a snippet", {0: UserError("too few")}), UserError) == "too few"
    assert said_of(UserError("as it is"), UserError) == "as it is"


def test_a_task_that_waited_for_one_that_failed_names_the_first():
    inner = TASK.format(
        raised="ray.exceptions.RayTaskError: \x1b[36mray::_list()\x1b[39m\nKeyError: 'key'", frames=FRAMES
    )
    assert said_of(RayTaskError("f", inner, KeyError("key")).as_instanceof_cause()) == "KeyError: 'key'"


def test_what_has_no_cause_is_its_first_line():
    assert said_of(ActorDiedError()).startswith("The actor died")


def test_a_failure_of_this_process_is_left_as_it_is():
    with pytest.raises(KeyError), causes():
        raise KeyError("a bug")
