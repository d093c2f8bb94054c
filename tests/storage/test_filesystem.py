"""Files that are made once, by whoever comes first."""

import os
import threading

from runstone.storage import filesystem


def test_one_of_many_threads_makes_a_file_and_all_go_on(tmp_path):
    for turn in range(20):
        path, start = tmp_path / str(turn), threading.Barrier(8)
        made, failed = [], []

        def make(content, path=path, start=start, made=made, failed=failed):
            start.wait()
            try:
                if filesystem.create_durably(path, content):
                    made.append(content)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=make, args=(os.urandom(1 << 16),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert [path.read_bytes()] == made
        assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
