package io.faithfulsae;

import io.faithfulsae.io.Expected;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A place in a language model where activations are read, named as in TransformerLens: {@code
 * blocks.L.hook_resid_pre} is the residual stream that enters block L (for L = 0, the embeddings).
 *
 * @param layer the block, from 0
 * @param site the part of the block, such as {@code hook_resid_pre}
 */
public record HookPoint(int layer, String site) {
  private static final Pattern NAME = Pattern.compile("blocks\\.(\\d{1,4})\\.(hook_[a-z_]+)");

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
   * @throws IllegalArgumentException if the name is not of the form {@code blocks.L.hook_SITE}
   */
  public static HookPoint parse(String name) {
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
    List<String> sites = all.stream().map(HookPoint::site).distinct().toList();
    throw new IllegalArgumentException(
        Expected.message(
            "a hook point of "
                + model.name()
                + ", blocks.L.SITE with L in [0, "
                + model.layers()
                + ") and SITE one of "
                + sites,
            this,
            "choose one of these"));
  }

  /** The name, in the form that {@link #parse} reads. */
  @Override
  public String toString() {
    return "blocks." + layer + "." + site;
  }
}
