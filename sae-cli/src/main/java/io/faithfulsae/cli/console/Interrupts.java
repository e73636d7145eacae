package io.faithfulsae.cli.console;

import io.faithfulsae.study.work.WorkListener;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * What Ctrl-C (SIGINT) and SIGTERM do.
 *
 * <p>A shutdown hook would not do: hooks of all libraries run at once, and ONNX Runtime's frees its
 * environment while training still reads activations from it. So the signal itself is handled:
 * training is asked to stop, keeps its checkpoint, and the process then ends in the ordinary way. A
 * second signal, or one while nothing has to be kept, ends the process at once.
 */
public final class Interrupts {
  /** The exit code of a process that was stopped so, as shells have it. */
  public static final int EXIT_CODE = 130;

  private static final AtomicReference<@Nullable Runnable> STOP = new AtomicReference<>();
  private static final AtomicBoolean RECEIVED = new AtomicBoolean();

  private Interrupts() {}

  /** Calls {@code stop}, from another thread, when the user asks to stop. */
  public static WorkListener.Registration onStop(Runnable stop) {
    STOP.set(stop);
    return () -> STOP.compareAndSet(stop, null);
  }

  /** Whether the user has asked to stop. */
  public static boolean received() {
    return RECEIVED.get();
  }

  /**
   * Handles the signals from now on, where the JDK lets us ({@code jdk.unsupported}, in every JDK
   * so far).
   */
  public static void install() {
    try {
      // By reflection, since javac's warning about sun.misc cannot be suppressed and warnings are
      // errors here.
      Class<?> signal = Class.forName("sun.misc.Signal");
      Class<?> handler = Class.forName("sun.misc.SignalHandler");
      Object ours =
          Proxy.newProxyInstance(
              handler.getClassLoader(),
              new Class<?>[] {handler},
              (proxy, method, args) -> answer(proxy, method, args));
      Method handle = signal.getMethod("handle", signal, handler);
      for (String name : new String[] {"INT", "TERM"}) {
        handle.invoke(null, signal.getConstructor(String.class).newInstance(name), ours);
      }
    } catch (ReflectiveOperationException e) {
      System.getLogger(Interrupts.class.getName())
          .log(
              System.Logger.Level.DEBUG,
              "Ctrl-C ends the process at once: no signal handling here",
              e);
    }
  }

  private static @Nullable Object answer(Object proxy, Method method, Object[] args) {
    return switch (method.getName()) {
      case "handle" -> {
        received(STOP.getAndSet(null));
        yield null;
      }
      case "equals" -> proxy == args[0];
      case "hashCode" -> System.identityHashCode(proxy);
      default -> "Interrupts";
    };
  }

  private static void received(@Nullable Runnable stop) {
    RECEIVED.set(true);
    if (stop == null) {
      Runtime.getRuntime().halt(EXIT_CODE);
    } else {
      stop.run();
    }
  }
}
