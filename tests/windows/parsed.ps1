<#
.SYNOPSIS
    Prints as JSON what the parser of PowerShell sees in each script of a folder.
#>
param([string]$Folder)

$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
# Absent from Windows PowerShell 5.1, where reading them fails under strict mode.
$NewVariables = 'IsWindows', 'IsLinux', 'IsMacOS', 'IsCoreCLR', 'PSStyle', 'EnabledExperimentalFeatures'
$NewNumber = '^(0b|.*[^a-fx0-9]?[0-9](u|s|n|uy|y|us|ul)(kb|mb|gb|tb|pb)?$)'

# The name of a type as the table has it: in full, and a short one in brackets behind it.
function Get-FullName($TypeName) {
    if ($TypeName.Name.Contains('.')) { return $TypeName.Name }
    if ($TypeName.Name -eq 'ordered') { return 'System.Collections.Specialized.OrderedDictionary' }
    $Type = if ($TypeName.PSObject.Methods['GetReflectionAttributeType']) { $TypeName.GetReflectionType() }
    if (-not $Type) { $Type = $TypeName.GetReflectionAttributeType() }
    if ($Type) { $Type.FullName } else { $TypeName.Name }
}

# The simple types of a type: those of List[string[]] are List and string.
function Get-Part($TypeName) {
    switch ($TypeName.GetType().Name) {
        'ArrayTypeName' { Get-Part $TypeName.ElementType }
        'GenericTypeName' { Get-Part $TypeName.TypeName; foreach ($One in $TypeName.GenericArguments) { Get-Part $One } }
        default { $TypeName }
    }
}

function New-Use($Node, $Kind, $Type, $Member, $Arguments) {
    $Guarded = $false
    for ($Above = $Node.Parent; $Above; $Above = $Above.Parent) {
        if ($Above -is [System.Management.Automation.Language.IfStatementAst]) {
            $Guarded = $Guarded -or "$($Above.Clauses.Item1)" -match 'PSEdition'
        }
    }
    $Uses.Add([ordered]@{ use = $Kind; type = $Type; member = $Member; arguments = "$Arguments"; guarded = $Guarded })
}

function Get-Use($Node, $Kind) {
    if ($Kind -in 'TypeExpression', 'TypeConstraint', 'Attribute') {
        foreach ($One in Get-Part $Node.TypeName) {
            $Name = Get-FullName $One
            $Short = if (-not $One.Name.Contains('.')) { " ($($One.Name))" }
            New-Use $Node 'type' "$Name$Short" '' ''
        }
    }
    if ($Kind -eq 'Attribute') {
        foreach ($Argument in $Node.NamedArguments) {
            New-Use $Node 'write' (Get-FullName $Node.TypeName) $Argument.ArgumentName ''
        }
    }
    if ($Kind -notin 'MemberExpression', 'InvokeMemberExpression') { return }
    $Member = if ($Node.Member.PSObject.Properties['Value']) { $Node.Member.Value } else { 'computed: ' + $Node.Member }
    $Type = if ($Node.Static -and $Node.Expression.PSObject.Properties['TypeName']) { Get-FullName $Node.Expression.TypeName }
    $Static = if ($Node.Static) { 'static ' }
    if ($Kind -eq 'InvokeMemberExpression') {
        $How = if ($Node.Static -and $Member -eq 'new') { 'new' } else { "${Static}method" }
        return New-Use $Node $How $Type $Member @($Node.Arguments).Where({ $_ }).Count
    }
    $Assignment = $Node.Parent -as [System.Management.Automation.Language.AssignmentStatementAst]
    $Written = $Assignment -and $Assignment.Left -eq $Node
    if ($Written) { New-Use $Node "${Static}write" $Type $Member '' }
    if (-not $Written -or $Assignment.Operator -ne 'Equals') { New-Use $Node "${Static}read" $Type $Member '' }
}

# What Windows PowerShell 5.1 can not parse, or takes for something else.
function Get-Newer($Node, $Kind) {
    switch ($Kind) {
        { $_ -in 'PipelineChain', 'TernaryExpression' } { $Kind }
        { $_ -in 'MemberExpression', 'InvokeMemberExpression', 'IndexExpression' } { if ($Node.NullConditional) { 'NullConditional' } }
        'InvokeMemberExpression' { if ($Node.GenericTypeArguments) { 'GenericTypeArguments' } }
        'Pipeline' { if ($Node.Background) { 'Background' } }
        'ScriptBlock' { if ($Node.CleanBlock) { 'CleanBlock' } }
        { $_ -in 'BinaryExpression', 'AssignmentStatement' } { if ("$($Node.Operator)" -like 'QuestionQuestion*') { "$($Node.Operator)" } }
        'VariableExpression' { if ($Node.VariablePath.UserPath -in $NewVariables) { "$Node" } }
        'ConstantExpression' { if ($Node.Value -is [ValueType] -and "$Node" -match $NewNumber) { "number $Node" } }
        { $_ -in 'StringConstantExpression', 'ExpandableStringExpression' } {
            if ($Node.StringConstantType -like 'DoubleQuoted*' -and "$Node" -cmatch '`(e|u\{)') { "escape $($Matches[0])" }
        }
    }
}

# What stands in one statement; scripts share most of theirs.
function Get-Seen($Statement) {
    $Functions = @{}
    $Commands, $Uses, $Newer = 1..3 | ForEach-Object { , [System.Collections.Generic.List[object]]::new() }
    foreach ($Node in $Statement.FindAll({ $true }, $true)) {
        $Kind = $Node.GetType().Name -replace 'Ast$'
        if ($Kind -eq 'FunctionDefinition') {
            $Parameters = if ($Node.Body.ParamBlock) { $Node.Body.ParamBlock.Parameters } else { $Node.Parameters }
            $Functions[$Node.Name] = @($Parameters | Where-Object { $_ } | ForEach-Object { $_.Name.VariablePath.UserPath })
        }
        if ($Kind -eq 'Command') {
            $Given = $Node.CommandElements | Where-Object { $_ -is [System.Management.Automation.Language.CommandParameterAst] }
            $Commands.Add([ordered]@{ text = "$Node"; name = $Node.GetCommandName(); parameters = @($Given | ForEach-Object ParameterName) })
        }
        Get-Use $Node $Kind
        foreach ($Found in @(Get-Newer $Node $Kind)) { $Newer.Add($Found) }
    }
    [ordered]@{ functions = $Functions; commands = $Commands; uses = $Uses; newer = $Newer }
}

$Seen = [System.Collections.Generic.Dictionary[string, object]]::new()
$Scripts = [ordered]@{}
foreach ($File in Get-ChildItem -LiteralPath $Folder -Recurse -File) {
    $Tokens = $Errors = $null
    $Tree = [System.Management.Automation.Language.Parser]::ParseFile($File.FullName, [ref]$Tokens, [ref]$Errors)
    $Newer = @(Get-Newer $Tree 'ScriptBlock')
    for ($Number = 1; $Number -lt $Tokens.Count; $Number++) {
        if ($Tokens[$Number].Kind -eq 'Pipe' -and $Tokens[$Number - 1].Kind -in 'NewLine', 'Comment') { $Newer += 'a line begins with a pipe' }
    }
    $Statements = foreach ($Statement in @($Tree.ParamBlock) + @($Tree.BeginBlock, $Tree.ProcessBlock, $Tree.CleanBlock) + @($Tree.EndBlock.Statements)) {
        if ($Statement) {
            if (-not $Seen.ContainsKey("$Statement")) { $Seen["$Statement"] = Get-Seen $Statement }
            "$Statement"
        }
    }
    $Scripts[[System.IO.Path]::GetRelativePath($Folder, $File.FullName).Replace('\', '/')] = [ordered]@{
        errors = @($Errors | ForEach-Object { "$($_.Extent.StartLineNumber): $($_.Message)" })
        newer = $Newer
        statements = @($Statements)
    }
}
ConvertTo-Json -InputObject @{ scripts = $Scripts; seen = $Seen } -Depth 6 -Compress
