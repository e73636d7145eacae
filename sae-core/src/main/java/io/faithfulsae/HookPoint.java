package io.faithfulsae;

import io.faithfulsae.io.Expected;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A place in a language model where activations are read, named as in TransformerLens: {@code
 * blocks.L.hook_resid_pre} is the residual stream that enters block L, {@code blocks.L.attn.hook_z}
 * is inside its attention, and {@code hook_embed} is before all blocks.
 *
 * @param layer the block, from 0; 0 for {@code hook_embed}
 * @param site the part of the block, such as {@code hook_resid_pre} or {@code attn.hook_z}
 */
public record HookPoint(int layer, String site) {
  private static final String EMBED = "hook_embed";
  private static final Pattern NAME =
      Pattern.compile("blocks\\.(\\d{1,4})\\.((?:attn\\.|mlp\\.)?hook_[a-z_]+)");

  /**
   * Checks that {@code hook_embed}, which is in no block, is at layer 0.
   *
   * @throws IllegalArgumentException if it is not
   */
  public HookPoint {
    if (site.equals(EMBED) && layer != 0) {
      throw new IllegalArgumentException(
          Expected.message(EMBED + " at layer 0", layer, "it is before all blocks"));
    }
  }

  /** The token embeddings, without positions. */
  public static HookPoint embed() {
    return new HookPoint(0, EMBED);
  }

  /** The residual stream that enters block {@code layer}. */
  public static HookPoint residPre(int layer) {
    return new HookPoint(layer, "hook_resid_pre");
  }

  /**
   * Whether it is the whole residual stream ({@code hook_resid_pre}, {@code hook_resid_mid}, {@code
   * hook_resid_post}), so that later blocks depend on earlier ones only through it.
   */
  public boolean isResidual() {
    return site.startsWith("hook_resid_");
  }

  /**
   * Parses a hook point's name.
   *
   * @throws IllegalArgumentException if the name is neither {@code hook_embed} nor of the form
   *     {@code blocks.L.SITE}
   */
  public static HookPoint parse(String name) {
    if (name.equals(EMBED)) {
      return embed();
    }
    Matcher matcher = NAME.matcher(name);
    if (!matcher.matches()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a hook point such as blocks.8.hook_resid_pre",
              "\"" + name + "\"",
              "name the block and the site"));
    }
    return new HookPoint(Integer.parseInt(matcher.group(1)), matcher.group(2));
  }

  /**
   * Checks that a model has this hook point.
   *
   * @throws IllegalArgumentException if it does not; the message lists those it has
   */
  public void requireIn(LanguageModel model) {
    List<HookPoint> all = model.hookPoints();
    if (all.contains(this)) {
      return;
    }
    List<String> sites =
        all.stream().map(HookPoint::site).filter(s -> !s.equals(EMBED)).distinct().toList();
    throw new IllegalArgumentException(
        Expected.message(
            "a hook point of "
                + model.name()
                + (all.contains(embed()) ? ", " + EMBED + " or" : ",")
                + " blocks.L.SITE with L in [0, "
                + model.layers()
                + ") and SITE one of "
                + sites,
            this,
            "choose one of these"));
  }

  /** The name, in the form that {@link #parse} reads. */
  @Override
  public String toString() {
    return site.equals(EMBED) ? site : "blocks." + layer + "." + site;
  }
}
