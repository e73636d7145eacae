package io.faithfulsae.study.report;

import java.awt.Color;

/** Okabe and Ito's colors, safe for color blindness. */
public final class Palette {
  private static final Color[] COLORS = {
    new Color(0x0072B2),
    new Color(0xD55E00),
    new Color(0x009E73),
    new Color(0xCC79A7),
    new Color(0xE69F00),
    new Color(0x56B4E9)
  };

  private Palette() {}

  /** All of them, in order of use. */
  public static Color[] colors() {
    return COLORS.clone();
  }
}
