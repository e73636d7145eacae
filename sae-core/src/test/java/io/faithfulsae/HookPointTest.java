package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HookPointTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "blocks.0.hook_resid_pre",
        "blocks.17.hook_mlp_out",
        "blocks.5.attn.hook_z",
        "blocks.5.mlp.hook_post",
        "hook_embed"
      })
  void namesAreReadAsTheyAreWritten(String name) {
    assertEquals(name, HookPoint.parse(name).toString());
  }

  @Test
  void namesSayWhere() {
    assertEquals(new HookPoint(5, "attn.hook_z"), HookPoint.parse("blocks.5.attn.hook_z"));
    assertEquals(HookPoint.embed(), HookPoint.parse("hook_embed"));
    assertEquals(0, HookPoint.embed().layer());
    assertFalse(HookPoint.embed().isResidual(), "positions are added later");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "blocks.1.attn.z",
        "blocks.1.ln1.hook_scale",
        "blocks.hook_z",
        "attn.hook_z",
        "hook_embed.1"
      })
  void otherNamesAreRejected(String name) {
    assertThrows(IllegalArgumentException.class, () -> HookPoint.parse(name), name);
  }

  @Test
  void embeddingsAreInNoBlock() {
    assertThrows(IllegalArgumentException.class, () -> new HookPoint(1, "hook_embed"));
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> HookPoint.embed().requireIn(new TableModel(0)))
            .getMessage();
    assertEquals(
        "expected a hook point of table, blocks.L.SITE with L in [0, 2) and SITE one of"
            + " [hook_resid_pre], got hook_embed; choose one of these",
        message);
  }
}
