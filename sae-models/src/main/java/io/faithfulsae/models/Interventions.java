package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.Intervention.AddDirection;
import io.faithfulsae.models.Intervention.ClampLatent;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Value;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Interventions as nodes of a graph and inputs that they read. All numbers are inputs, so that one
 * graph, and the weights that a session keeps for it, serves every strength, latent and SAE of a
 * kind.
 */
final class Interventions {
  static final Interventions NONE = new Interventions(List.of());
  private static final String ON = "intervene.on";

  private final List<At> places;
  private final FloatBuffer on = FloatRows.allocate(1).put(0, 1f);

  /**
   * What happens at a hook point.
   *
   * @param width of the activations there
   * @param added the sum of all directions; null if there is none
   * @param clamped by SAE
   */
  private record At(
      HookPoint hook, int width, @Nullable FloatBuffer added, List<ClampedLatents> clamped) {}

  private Interventions(List<At> places) {
    this.places = places;
  }

  /** Checks interventions against a model and reads what they need. */
  static Interventions of(List<Intervention> all, OnnxModel model) {
    all.forEach(each -> each.hook().requireIn(model));
    List<At> places = new ArrayList<>();
    for (HookPoint hook : model.hookPoints()) {
      List<Intervention> here = all.stream().filter(each -> each.hook().equals(hook)).toList();
      if (!here.isEmpty()) {
        places.add(at(hook, model.width(hook), here));
      }
    }
    return places.isEmpty() ? NONE : new Interventions(places);
  }

  private static At at(HookPoint hook, int width, List<Intervention> all) {
    FloatBuffer added = null;
    Map<Sae, List<ClampLatent>> bySae = new LinkedHashMap<>();
    for (Intervention each : all) {
      if (each instanceof AddDirection add) {
        added = added == null ? FloatRows.allocate(width) : added;
        add(added, add, width);
      } else if (each instanceof ClampLatent clamp) {
        requireWidth("an SAE with d_in", clamp.sae().config().dIn(), hook, width);
        bySae.computeIfAbsent(clamp.sae(), sae -> new ArrayList<>()).add(clamp);
      }
    }
    List<ClampedLatents> clamped = new ArrayList<>();
    bySae.forEach(
        (sae, clamps) -> {
          String prefix = "intervene." + hook + "." + clamped.size() + ".";
          clamped.add(ClampedLatents.of(prefix, sae, clamps));
        });
    return new At(hook, width, added, clamped);
  }

  private static void add(FloatBuffer to, AddDirection add, int width) {
    float[] direction = add.direction();
    requireWidth("a direction of length", direction.length, add.hook(), width);
    for (int i = 0; i < width; i++) {
      to.put(i, (float) (to.get(i) + add.strength() * direction[i]));
    }
  }

  private static void requireWidth(String what, int given, HookPoint hook, int width) {
    if (given != width) {
      throw new IllegalArgumentException(
          Expected.message(
              what + " = " + width + ", the width at " + hook,
              given,
              "use an SAE that was trained on this hook point of this model"));
    }
  }

  /** What graphs depend on; empty if there are none. */
  String key() {
    StringBuilder key = new StringBuilder();
    for (At place : places) {
      key.append(" changed at ").append(place.hook()).append(place.added() == null ? "" : " +");
      place.clamped().forEach(latents -> key.append(' ').append(latents.kind()));
    }
    return key.toString();
  }

  /** Gives a graph the inputs and nodes, before the model is built. */
  void declare(Graph graph) {
    if (places.isEmpty()) {
      return;
    }
    Value factor = graph.singleInput(ON, 1);
    for (At place : places) {
      graph.changeAt(place.hook(), x -> changed(graph, place, factor, x));
    }
  }

  /** In float32, whatever the graph's precision. */
  private static Value changed(Graph graph, At place, Value factor, Value x) {
    Value row = graph.single(x);
    List<Value> changes = new ArrayList<>();
    if (place.added() != null) {
      changes.add(graph.singleInput(addedName(place), 1, place.width()));
    }
    for (ClampedLatents latents : place.clamped()) {
      changes.add(latents.change(graph, row));
    }
    Value change = changes.stream().reduce(graph::add).orElseThrow();
    return graph.computed(graph.add(row, graph.scale(change, factor)));
  }

  private static String addedName(At place) {
    return "intervene." + place.hook() + ".added";
  }

  /**
   * Binds the inputs.
   *
   * @param inputs those that the graph has: none for hook points that it does not reach
   */
  void bindTo(Binding binding, Set<String> inputs) {
    ClampedLatents.Inputs to =
        (name, tensor) -> {
          if (inputs.contains(name)) {
            binding.input(name, tensor);
          }
        };
    to.bind(ON, Tensor.of(on, 1));
    for (At place : places) {
      FloatBuffer added = place.added();
      if (added != null) {
        to.bind(addedName(place), Tensor.of(added, 1, place.width()));
      }
      place.clamped().forEach(latents -> latents.bindTo(to));
    }
  }

  /** Turns all of them on or off, from the next run on. */
  void turn(boolean active) {
    if (!places.isEmpty()) {
      on.put(0, active ? 1f : 0f);
    }
  }
}
