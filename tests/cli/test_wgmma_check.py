"""scripts/wgmma_check.py on listings of made-up kernels: a cuobjdump of our own prints them."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/wgmma_check.py"
HEAD = "\tFunction : kernel\n"
PRODUCT = "        /*0100*/                   HGMMA.64x64x16.F32 R24, R4, gdesc[UR4], R24 ;\n"
WAIT = "        /*0300*/                   WARPGROUP.DEPBAR.LE gsb0, 0x0 ;\n"


def instruction(text):
    return f"        /*0200*/                   {text} ;        /* 0x0 */\n"


class WgmmaCheck(unittest.TestCase):
    def check(self, listing, path=None):
        with tempfile.TemporaryDirectory() as folder:
            tool = pathlib.Path(folder) / "cuobjdump"
            tool.write_text(f"#!{sys.executable}\nprint({listing!r})\n")
            tool.chmod(0o755)
            return subprocess.run([sys.executable, SCRIPT, "kernel.o"], capture_output=True, text=True,
                                  env={**os.environ, "PATH": folder if path is None else path})

    def test_a_register_that_is_read_still_may_not_be_written(self):
        for text in ("IMAD.MOV.U32 R7, RZ, RZ, R0", "LDG.E.128 R4, desc[UR8][R2.64]", "LDS.64 R2, [R0]", "@!P0 LDS R5, [R9]", "CS2R R6, SRZ"):
            done = self.check(HEAD + PRODUCT + instruction(text) + WAIT)
            late = self.check(HEAD + PRODUCT + WAIT + instruction(text))
            expected = 0 if "R2" in text.split(",")[0] else 1  # 64 bits: R2 and R3
            self.assertEqual(done.returncode, expected, text)
            self.assertEqual(late.returncode, 0, text)

    def test_reads_stores_and_other_registers_may_go_on(self):
        for text in ("STS.128 [R5], R4", "IADD3 R8, R4, R5, RZ", "LDS R3, [R4]", "BRA 0x10"):
            self.assertEqual(self.check(HEAD + PRODUCT + instruction(text) + WAIT).returncode, 0, text)

    def test_operands_in_shared_memory_are_no_registers(self):
        product = "        /*0100*/                   HGMMA.64x64x16.F32 R24, gdesc[UR4], R24 ;\n"
        self.assertEqual(self.check(HEAD + product + instruction("LDS R4, [R0]") + WAIT).returncode, 0)

    def test_without_the_tool_one_line(self):
        done = self.check("", path="/nonexistent")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cuobjdump is not on the PATH", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
