"""Energy of a cell: counters of this machine, which are made up here."""

import sys
import time
from types import SimpleNamespace

import pytest

import bench as package
from bench.errors import ConfigError
from bench.runs import energy
from bench.runs.store import Store


@pytest.fixture
def zones(tmp_path, monkeypatch):
    """Two processors, memory of one, and what is a part or the whole of these, each with so many µJ."""
    folder = tmp_path / "powercap"
    numbers = {}

    def zone(path, name, energy, span=1_000_000):
        (folder / path).mkdir(parents=True)
        for file, text in {"name": name, "energy_uj": energy, "max_energy_range_uj": span - 1}.items():
            (folder / path / file).write_text(f"{text}\n")
        numbers[path] = folder / path / "energy_uj"

    zone("intel-rapl:0", "package-0", 100)
    zone("intel-rapl:0:0", "core", 0)
    zone("intel-rapl:0:1", "dram", 0)
    zone("intel-rapl:1", "package-1", 999_000)
    zone("intel-rapl:2", "psys", 0)
    zone("intel-rapl-mmio:0", "package-0", 0)
    monkeypatch.setattr(energy, "POWERCAP", folder)
    return numbers


def test_processors_and_memory_count_and_counters_that_start_anew(zones):
    with energy.find_meter(with_gpus=False).measured() as spent:
        for path, value in {"intel-rapl:0": 300, "intel-rapl:0:1": 50, "intel-rapl:1": 500}.items():
            zones[path].write_text(f"{value}\n")
        zones["intel-rapl:0:0"].write_text("777777\n")
        zones["intel-rapl:2"].write_text("777777\n")
    assert spent.kwh == pytest.approx((200 + 50 + 1_000 + 500) * 1e-6 / 3.6e6)


def test_a_counter_that_starts_anew_more_than_once_is_followed(zones, monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "_EVERY", 0.005)
    seen = []
    read = energy._number
    monkeypatch.setattr(energy, "_number", lambda path: seen.append(path.parent.name) or read(path))
    with energy.find_meter(with_gpus=False).measured() as spent:
        for value in (600_000, 100_000, 600_000, 100_000):
            before = seen.count("intel-rapl:0")
            (tmp_path / "number").write_text(f"{value}\n")
            (tmp_path / "number").replace(zones["intel-rapl:0"])  # never empty, as a file that is written is
            while seen.count("intel-rapl:0") < before + 2:
                time.sleep(0.001)
    assert spent.kwh == pytest.approx((2_000_000 + 100_000 - 100) * 1e-6 / 3.6e6)


def test_gpus_count_in_millijoules(zones, monkeypatch):
    told = iter([[5, 10], [5, 10], [1005, 10]])
    current = {}

    def consumption(number):
        if number == 0:
            current["all"] = next(told)
        return current["all"][number]

    nvml = SimpleNamespace(
        NVMLError=ZeroDivisionError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetTotalEnergyConsumption=consumption,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with energy.find_meter(with_gpus=True).measured() as spent:
        pass
    assert spent.kwh == pytest.approx(1.0 / 3.6e6)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(ConfigError, match=r"nvidia-ml-py: pip install 'recsys-bench\[energy\]'"):
        energy.find_meter(with_gpus=True)


def test_what_cannot_be_measured_is_one_line(zones, tiny_cards, tmp_path, monkeypatch):
    for fields in ({"jobs": 2}, {"executor": "ray"}):
        with pytest.raises(ConfigError, match="--energy counts all that this machine does: give --jobs 1"):
            package.run("pop", "tiny", results=tmp_path / "r", energy=True, **fields)
    zones["intel-rapl:1"].unlink()
    with pytest.raises(ConfigError, match=r"a counter cannot be read \(.*energy_uj.*\): sudo chmod a\+r"):
        package.run("pop", "tiny", results=tmp_path / "r", energy=True)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path / "nothing")
    with pytest.raises(ConfigError, match=r"no counter of processors in .*nothing: it takes Linux"):
        package.run("pop", "tiny", results=tmp_path / "r", energy=True)
    assert not (tmp_path / "r").exists()


def test_a_row_has_what_was_measured_of_it_and_others_have_none(zones, bench, tmp_path):
    """Counters that stand still: 0 Wh, which is something else than not measured."""
    bench("run", "--models", "pop", "--dataset", "tiny", "--results", tmp_path / "r")
    done = bench("run", "--models", "itemknn", "--dataset", "tiny", "--results", tmp_path / "r", "--energy")
    assert done.status == 0, done.err
    kwh = {result.cell.model: result.kwh for result in Store(tmp_path / "r").results()}
    assert kwh == {"pop": None, "itemknn": 0.0}
    lines = [line for line in done.out.splitlines() if line.startswith("| ")]
    heads, *rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines[:3]]
    shown = {row[0]: dict(zip(heads, row, strict=True))["Wh"] for row in rows}
    assert shown == {"itemknn": "0.0", "pop": "–"}
