// Draws pictures with a bundle's sampler.onnx and writes them to a BMP file, one below the other.
//
//   sample BUNDLE OUT.bmp [FIRST_SEED [COUNT [STEPS [NAME=FILE.npy …]]]]
//
// If the model knows classes, the picture of seed s shows class s mod their number, as in diffkiln's own commands.
// If it takes conditions, a .npy file has each of them, one for all pictures or with a row for each. A bundle of
// arrays that are no pictures needs OUT.npy, a NumPy file of float32 [COUNT, …] in the data's own units.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

internal static class Program
{
    private const int LargestCount = 4096;

    private static int Main(string[] arguments)
    {
        if (arguments.Length < 2)
        {
            Console.Error.WriteLine("usage: sample BUNDLE OUT.bmp [FIRST_SEED [COUNT [STEPS [NAME=FILE.npy …]]]]");
            return 2;
        }
        TurnTelemetryOff();
        try
        {
            var (bundle, file) = (arguments[0], arguments[1]);
            using var manifest = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(bundle, "bundle.json")));
            var sampler = manifest.RootElement.GetProperty("sampler");

            long Number(int place, string name, long otherwise, long least, long most) =>
                place < arguments.Length ? Whole(arguments[place], name, least, most) : otherwise;
            var count = Number(3, "COUNT", 4, 1, LargestCount);
            var first = Number(2, "FIRST_SEED", 0, 0, long.MaxValue - (count - 1));
            var steps = Number(4, "STEPS", sampler.GetProperty("default_steps").GetInt64(), 1,
                sampler.GetProperty("max_steps").GetInt64());

            var seeds = new long[count];
            for (var index = 0; index < count; index++) seeds[index] = first + index;
            Draw(bundle, manifest.RootElement, seeds, steps, arguments.Skip(5), file);
            return 0;
        }
        catch (Exception error) when (error is IOException || error is UnauthorizedAccessException
            || error is JsonException || error is KeyNotFoundException || error is FormatException
            || error is OnnxRuntimeException)
        {
            Console.Error.WriteLine($"sample: {error.Message}");
            return 1;
        }
    }

    // onnxruntime reads the variable when it is loaded. On Unix, .NET sets variables only in a copy of its own.
    private static void TurnTelemetryOff()
    {
        const string name = "ORT_DISABLE_TELEMETRY";
        if (Environment.GetEnvironmentVariable(name) != null) return;
        if (OperatingSystem.IsWindows()) Environment.SetEnvironmentVariable(name, "1");
        else SetVariable(name, "1", 0);
    }

    [DllImport("libc", EntryPoint = "setenv")]
    private static extern int SetVariable(string name, string value, int overwrite);

    private static void Draw(
        string bundle, JsonElement manifest, long[] seeds, long steps, IEnumerable<string> given, string file)
    {
        var drawsArrays = manifest.TryGetProperty("array", out _);
        if (drawsArrays && !file.EndsWith(".npy", StringComparison.Ordinal))
            throw new FormatException($"{file}: the bundle draws arrays that are no pictures, expected OUT.npy");
        using var session = new InferenceSession(Path.Combine(bundle, "sampler.onnx"));
        using var options = new RunOptions();
        var inputs = new Dictionary<string, OrtValue> { ["seeds"] = Vector(seeds), ["steps"] = Number(session, "steps", steps) };
        if (manifest.GetProperty("model").TryGetProperty("class_names", out var names))
        {
            inputs["labels"] = Vector(seeds.Select(seed => seed % names.GetArrayLength()).ToArray());
        }
        // A model without classes has a guidance if it has conditions to leave out.
        if (manifest.GetProperty("sampler").TryGetProperty("default_guidance", out var guidance))
        {
            inputs["guidance"] = Number(session, "guidance", guidance.GetSingle());
        }
        if (manifest.TryGetProperty("conditions", out var conditions))
        {
            foreach (var condition in conditions.EnumerateArray())
            {
                var name = condition.GetProperty("name").GetString()!;
                var text = given.FirstOrDefault(each => each.StartsWith($"{name}=", StringComparison.Ordinal));
                inputs[name] = Condition(condition, text?.Substring(name.Length + 1), seeds.Length);
            }
        }
        using var outputs = session.Run(options, inputs, new[] { drawsArrays ? "samples" : "images" });
        if (drawsArrays) WriteNpy(file, outputs[0]);
        else WriteBitmap(file, outputs[0]);
        foreach (var value in inputs.Values) value.Dispose();
    }

    private static OrtValue Condition(JsonElement condition, string? file, long count)
    {
        if (file == null && !condition.TryGetProperty("default", out _))
            throw new FormatException($"expected NAME=FILE.npy for the condition {condition.GetRawText()}");
        var content = file == null ? Array.Empty<byte>() : File.ReadAllBytes(file);
        var sizes = condition.GetProperty("shape").EnumerateArray().Select(size => size.GetInt64()).ToArray();
        var shape = sizes.Prepend(count).ToArray();
        // In version 1 of the format, numbers begin after ten bytes and a header of so many more.
        var start = content.Length < 10 ? 0 : 10 + BitConverter.ToUInt16(content, 8);
        var header = Encoding.Latin1.GetString(content, 0, Math.Min(start, content.Length)).Replace(" ", "");

        OrtValue Rows<T>(string type, Func<JsonElement, T> read) where T : unmanaged
        {
            var all = new T[shape.Aggregate(1L, (product, size) => product * size)];
            if (file == null)
            {
                Array.Fill(all, read(condition.GetProperty("default")));
                return OrtValue.CreateTensorValueFromMemory(all, shape);
            }
            var shapes = new[] { sizes, shape }.Select(each => string.Join(",", each) + (each.Length == 1 ? "," : ""));
            if (!shapes.Any(each => header.Contains($"'descr':'{type}','fortran_order':False,'shape':({each})")))
                throw new FormatException($"{file}: expected an array of {type} with [{string.Join(", ", sizes)}] numbers, "
                    + $"or [{string.Join(", ", shape)}]");
            var rows = MemoryMarshal.Cast<byte, T>(content.AsSpan(start));
            if (rows.Length != all.Length && rows.Length != all.Length / count)
                throw new FormatException($"{file}: its numbers are cut off");
            for (var place = 0; place < all.Length; place += rows.Length) rows.CopyTo(all.AsSpan(place));
            return OrtValue.CreateTensorValueFromMemory(all, shape);
        }

        return condition.GetProperty("dtype").GetString() switch
        {
            "uint8" => Rows("|u1", number => number.GetByte()),
            "int64" => Rows("<i8", number => number.GetInt64()),
            _ => Rows("<f4", number => number.GetSingle()),
        };
    }

    private static OrtValue Vector(long[] values) =>
        OrtValue.CreateTensorValueFromMemory(values, new long[] { values.Length });

    // Its shape is [], or [1] in a bundle that was exported with --numbers_as_lists.
    private static OrtValue Number<T>(InferenceSession session, string name, T value) where T : unmanaged =>
        OrtValue.CreateTensorValueFromMemory(
            new[] { value }, session.InputMetadata[name].Dimensions.Select(_ => 1L).ToArray());

    // images: uint8 [N, H, W, 3].
    private static void WriteBitmap(string path, OrtValue images)
    {
        var about = images.GetTensorTypeAndShape();
        if (about.ElementDataType != TensorElementType.UInt8 || about.Shape[3] != 3)
            throw new FormatException("expected a bundle of RGB images with --image_dtype=uint8");
        var (height, width) = ((int)(about.Shape[0] * about.Shape[1]), (int)about.Shape[2]);
        var pixels = images.GetTensorDataAsSpan<byte>();

        // Rows begin at multiples of four bytes; the order is blue, green, red.
        var stride = (3 * width + 3) / 4 * 4;
        var rows = new byte[stride * height];
        for (var y = 0; y < height; y++)
            for (var x = 0; x < 3 * width; x++)
                rows[y * stride + x] = pixels[3 * y * width + x - x % 3 + 2 - x % 3];

        using var file = new BinaryWriter(File.Create(path));
        file.Write(new[] { (byte)'B', (byte)'M' });
        // A negative height means that the first row is the top one.
        var header = new[] { 54 + rows.Length, 0, 54, 40, width, -height, 24 << 16 | 1, 0, rows.Length, 0, 0, 0, 0 };
        foreach (var number in header) file.Write(number);
        file.Write(rows);
    }

    // samples: float32 [N, …], as a NumPy file, version 1.0.
    private static void WriteNpy(string path, OrtValue samples)
    {
        var shape = string.Join(", ", samples.GetTensorTypeAndShape().Shape);
        var about = $"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}";
        // The numbers begin at a multiple of 64 bytes.
        var header = about.PadRight((about.Length + 74) / 64 * 64 - 11) + "\n";
        using var file = new BinaryWriter(File.Create(path));
        file.Write(Encoding.Latin1.GetBytes("\u0093NUMPY\u0001\u0000"));
        file.Write((ushort)header.Length);
        file.Write(Encoding.Latin1.GetBytes(header));
        file.Write(MemoryMarshal.AsBytes(samples.GetTensorDataAsSpan<float>()));
    }

    private static long Whole(string text, string name, long least, long most)
    {
        if (long.TryParse(text, out var value) && value >= least && value <= most) return value;
        throw new FormatException($"{name}={text}: expected a whole number from {least} to {most}");
    }
}
