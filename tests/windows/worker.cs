// Runs scripts one after the other, each in a PowerShell of its own, as somebody at the computer
// would: requests come as lines of JSON, and so do the answers.

using System;
using System.Collections.Generic;
using System.Collections.ObjectModel;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Management.Automation.Host;
using System.Management.Automation.Language;
using System.Management.Automation.Runspaces;
using System.Reflection;
using System.Security;
using System.Text.Json;
using System.Text.Json.Nodes;
using Windows.StandIns;

namespace Windows;

public static class Worker
{
    public static void Serve(string functions)
    {
        var accelerators = typeof(PSObject).Assembly.GetType("System.Management.Automation.TypeAccelerators")!;
        foreach (var type in typeof(Worker).Assembly.GetTypes())
        {
            if (type.GetCustomAttribute<StandsForAttribute>() is { } stands)
            {
                accelerators.GetMethod("Add")!.Invoke(null, [stands.Name, type]);
            }
        }
        var state = InitialSessionState.CreateDefault();
        foreach (var one in Parser.ParseFile(functions, out _, out _).FindAll(one => one is FunctionDefinitionAst, false))
        {
            var function = (FunctionDefinitionAst)one;
            state.Commands.Add(new SessionStateFunctionEntry(function.Name, function.Body.Extent.Text[1..^1]));
        }
        var output = Console.Out;
        Console.SetOut(TextWriter.Null);
        while (Console.In.ReadLine() is { } line)
        {
            output.WriteLine(Answer(JsonNode.Parse(line)!, state).ToJsonString());
            output.Flush();
        }
    }

    private static JsonObject Answer(JsonNode wanted, InitialSessionState state)
    {
        var culture = CultureInfo.GetCultureInfo((string)wanted["culture"]!);
        (CultureInfo.CurrentCulture, CultureInfo.CurrentUICulture) = (culture, culture);
        ServerConfigurator.Forget();
        Machine.Begin(wanted["visit"]!.ToJsonString());
        var person = new Person(wanted["answers"]!.AsArray().Select(one => (string)one!), culture);
        using var runspace = RunspaceFactory.CreateRunspace(person, state);
        runspace.ThreadOptions = PSThreadOptions.UseCurrentThread;
        runspace.Open();
        using var shell = PowerShell.Create(runspace);
        shell.AddCommand("Initialize-Windows").Invoke();
        shell.Commands.Clear();
        if (Machine.Visit.Constrained)
        {
            runspace.SessionStateProxy.LanguageMode = PSLanguageMode.ConstrainedLanguage;
        }
        if (wanted["script"] is { } script)
        {
            shell.AddCommand((string)script!, false);
            foreach (var (name, value) in wanted["parameters"]!.AsObject())
            {
                _ = value!.GetValueKind() is JsonValueKind.True or JsonValueKind.False
                    ? shell.AddParameter(name, (bool)value) : shell.AddParameter(name, (string)value!);
            }
        }
        else
        {
            shell.AddScript((string)wanted["command"]!);
        }
        var output = new PSDataCollection<PSObject>();
        output.DataAdded += (_, added) => person.Shown.Add($"{output[added.Index]}");
        string? error = null;
        try
        {
            shell.Invoke<object, PSObject>(null, output, null);
        }
        catch (RuntimeException stopped)
        {
            error = stopped.ErrorRecord.Exception.Message;
        }
        Machine.End();
        return new JsonObject
        {
            ["output"] = Texts(output.Select(one => $"{one}")),
            ["warnings"] = Texts(shell.Streams.Warning.Select(one => one.Message)),
            ["errors"] = Texts(shell.Streams.Error.Select(one => $"{one}")),
            ["error"] = error,
            ["exit"] = runspace.SessionStateProxy.GetVariable("LASTEXITCODE") as int? ?? (error == null ? 0 : 1),
            ["shown"] = Texts(person.Shown),
            ["asked"] = Texts(person.Asked),
            ["changes"] = Texts(Machine.Changes),
        };
    }

    private static JsonArray Texts(IEnumerable<string> texts) => [.. texts.Select(one => JsonValue.Create(one))];
}

// Who sits at the computer: answers what PowerShell asks, in the order of the answers given.
public class Person(IEnumerable<string> answers, CultureInfo culture) : PSHost
{
    private readonly Queue<string> answers = new(answers);
    private readonly Guid id = Guid.NewGuid();

    public List<string> Asked { get; } = [];
    public List<string> Shown { get; } = [];  // what a script writes, and what PowerShell says, in order
    public override CultureInfo CurrentCulture => culture;
    public override CultureInfo CurrentUICulture => culture;
    public override Guid InstanceId => id;
    public override string Name => "ConsoleHost";
    public override Version Version => new(5, 1);
    public override PSHostUserInterface UI => new Screen(this);

    public override void SetShouldExit(int exitCode) { }
    public override void EnterNestedPrompt() => throw new NotSupportedException();
    public override void ExitNestedPrompt() => throw new NotSupportedException();
    public override void NotifyBeginApplication() { }
    public override void NotifyEndApplication() { }

    private string Answer(string question)
    {
        Asked.Add(question);
        return answers.TryDequeue(out var answer) ? answer : throw new HostException($"Nobody answers: {question}");
    }

    private class Screen(Person person) : PSHostUserInterface
    {
        private string prompt = "";

        public override PSHostRawUserInterface? RawUI => null;

        public override void Write(string value) => prompt = value;
        public override void Write(ConsoleColor foreground, ConsoleColor background, string value) => prompt = value;
        public override void WriteLine(string value) => person.Shown.Add(value);
        public override void WriteErrorLine(string value) { }
        public override void WriteDebugLine(string message) { }
        public override void WriteVerboseLine(string message) { }
        public override void WriteWarningLine(string message) { }
        public override void WriteProgress(long sourceId, ProgressRecord record) { }
        public override string ReadLine() => person.Answer(prompt);

        public override SecureString ReadLineAsSecureString()
        {
            var secret = new SecureString();
            foreach (var sign in person.Answer(prompt))
            {
                secret.AppendChar(sign);
            }
            return secret;
        }

        // One answer is the first letter of a choice, as a person types it.
        public override int PromptForChoice(string caption, string message, Collection<ChoiceDescription> choices, int defaultChoice)
        {
            var typed = person.Answer(message);
            var chosen = choices.ToList().FindIndex(one => one.Label.Replace("&", "").StartsWith(typed, StringComparison.OrdinalIgnoreCase));
            return chosen < 0 ? defaultChoice : chosen;
        }

        // Read-Host asks for one field.
        public override Dictionary<string, PSObject> Prompt(string caption, string message, Collection<FieldDescription> descriptions)
        {
            var field = descriptions.Single();
            prompt = field.Name;
            object answer = field.ParameterTypeName == nameof(SecureString) ? ReadLineAsSecureString() : ReadLine();
            return new() { [field.Name] = new PSObject(answer) };
        }

        public override PSCredential PromptForCredential(string caption, string message, string userName, string targetName) => throw new NotSupportedException();
        public override PSCredential PromptForCredential(string caption, string message, string userName, string targetName, PSCredentialTypes types, PSCredentialUIOptions options) => throw new NotSupportedException();
    }
}
