package com.example.plugin;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Services;
import io.faithfulsae.spi.StepConfig;
import java.lang.System.Logger.Level;
import java.nio.FloatBuffer;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A backend, {@code -Dsae.backend=counted}: the CPU's, which also counts the rows that are encoded
 * and logs their number when it is closed. One for other hardware implements the operations itself;
 * the library's conformance suite, {@code BackendConformanceTest}, says whether they are right.
 */
public final class CountedBackend implements BackendProvider {
  private static final String NAME = "counted";
  private static final String MISSING =
      Expected.message(
          "the backend \"cpu\" to count for",
          "none on the class path",
          "add the dependency io.faithfulsae:sae-native");

  @Override
  public String name() {
    return NAME;
  }

  /** Below the CPU's: used only if it is asked for by name. */
  @Override
  public int priority() {
    return -1;
  }

  @Override
  public Availability probe() {
    return cpu()
        .map(BackendProvider::probe)
        .map(cpu -> new Availability(NAME, cpu.usable(), cpu.reason()))
        .orElse(new Availability(NAME, false, MISSING));
  }

  @Override
  public Backend open() {
    BackendProvider cpu = cpu().orElseThrow(() -> new BackendUnavailableException(MISSING));
    return new Counted(cpu.open(), new AtomicLong());
  }

  /** The CPU's provider. Asking Backends would ask this one again. */
  private static Optional<BackendProvider> cpu() {
    return Services.load(BackendProvider.class, broken -> {}).stream()
        .filter(provider -> provider.name().equals("cpu"))
        .findFirst();
  }

  private record Counted(Backend cpu, AtomicLong rows) implements Backend {
    @Override
    public Info info() {
      return new Info(NAME, cpu.info().device(), cpu.info().details());
    }

    @Override
    public DeviceBuffer allocate(long bytes) {
      return cpu.allocate(bytes);
    }

    @Override
    public DeviceBuffer allocateOnDevice(long bytes) {
      return cpu.allocateOnDevice(bytes);
    }

    @Override
    public long stream() {
      return cpu.stream();
    }

    @Override
    public BackendSae createSae(SaeShape shape) {
      return new CountedSae(cpu.createSae(shape), rows);
    }

    @Override
    public void matmulTransposed(
        DeviceBuffer a, int m, DeviceBuffer b, int n, int inner, DeviceBuffer c) {
      cpu.matmulTransposed(a, m, b, n, inner, c);
    }

    @Override
    public void gatherRows(
        DeviceBuffer from,
        int fromRows,
        int columns,
        DeviceBuffer indices,
        int first,
        int count,
        double factor,
        DeviceBuffer into) {
      cpu.gatherRows(from, fromRows, columns, indices, first, count, factor, into);
    }

    @Override
    public void synchronize() {
      cpu.synchronize();
    }

    @Override
    public long liveBytes() {
      return cpu.liveBytes();
    }

    @Override
    public void close() {
      cpu.close();
      System.getLogger(NAME).log(Level.INFO, "encoded " + rows.getAndSet(0) + " rows");
    }
  }

  private record CountedSae(BackendSae cpu, AtomicLong rows) implements BackendSae {
    @Override
    public SaeShape shape() {
      return cpu.shape();
    }

    @Override
    public void write(Tensor tensor, long first, FloatBuffer from) {
      cpu.write(tensor, first, from);
    }

    @Override
    public void read(Tensor tensor, long first, FloatBuffer into) {
      cpu.read(tensor, first, into);
    }

    @Override
    public long encode(Selection selection, DeviceBuffer x, int count, LatentBuffers into) {
      long entries = cpu.encode(selection, x, count, into);
      rows.addAndGet(count);
      return entries;
    }

    @Override
    public void decode(LatentBuffers latents, int count, DeviceBuffer x, DeviceBuffer out) {
      cpu.decode(latents, count, x, out);
    }

    @Override
    public BackendTrainer trainer(
        Selection selection, StepConfig config, BackendTrainer.Gradients gradients) {
      return cpu.trainer(selection, config, gradients);
    }

    @Override
    public void close() {
      cpu.close();
    }
  }
}
